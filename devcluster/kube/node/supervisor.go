package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a program the node keeps running. Its output goes to Log, a path inside the node.
type Process struct {
	Name string   `json:"name"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Log  string   `json:"log"`
}

const (
	shortestPause = 250 * time.Millisecond
	longestPause  = 5 * time.Second
	// A process that ran this long had started well: the next restart is quick again.
	ranWell = 30 * time.Second
)

type state struct {
	Process
	pid     int // 0: not running
	started time.Time
	pause   time.Duration
}

type supervisor struct{ states []*state }

func newSupervisor(processes []Process) *supervisor {
	s := &supervisor{}
	for _, process := range processes {
		s.states = append(s.states, &state{Process: process, pause: shortestPause})
	}
	return s
}

// run never returns: process 1 lives as long as the node.
func (s *supervisor) run() {
	restart := make(chan *state, len(s.states))
	for _, state := range s.states {
		restart <- state
	}
	exited := make(chan int)
	child := make(chan struct{}, 1)
	go reap(exited, child)
	for {
		select {
		case state := <-restart:
			if err := state.start(); err != nil {
				log.Printf("%s does not start: %v", state.Name, err)
				state.again(restart)
			}
			select { // there is a child to wait for now
			case child <- struct{}{}:
			default:
			}
		case pid := <-exited:
			for _, state := range s.states {
				if state.pid == pid {
					log.Printf("%s ended after %s", state.Name, time.Since(state.started).Round(time.Millisecond))
					state.pid = 0
					state.again(restart)
				}
			}
		}
	}
}

// reap waits for every child there is: the node's processes and the orphans that process 1 inherits.
func reap(exited chan<- int, child <-chan struct{}) {
	for {
		pid, err := syscall.Wait4(-1, nil, 0, nil)
		switch {
		case err == nil:
			exited <- pid
		case errors.Is(err, syscall.ECHILD):
			<-child
		}
	}
}

func (p *state) again(restart chan<- *state) {
	if !p.started.IsZero() && time.Since(p.started) > ranWell {
		p.pause = shortestPause
	}
	time.AfterFunc(p.pause, func() { restart <- p })
	p.pause = min(2*p.pause, longestPause)
}

func (p *state) start() error {
	path, err := lookUp(p.Args[0], p.Env)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	fmt.Fprintf(out, "--- %s: %s\n", time.Now().UTC().Format(time.RFC3339), strings.Join(p.Args, " "))
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	p.started = time.Now()
	p.pid, err = syscall.ForkExec(path, p.Args, &syscall.ProcAttr{
		Dir: "/", Env: p.Env, Files: []uintptr{null.Fd(), out.Fd(), out.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	return err
}

// lookUp finds a program on the PATH of the process that is going to run it.
func lookUp(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, variable := range env {
		if dirs, ok := strings.CutPrefix(variable, "PATH="); ok {
			for _, dir := range filepath.SplitList(dirs) {
				if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
					return path, nil
				}
			}
		}
	}
	return "", fmt.Errorf("no program %s on its PATH", name)
}
