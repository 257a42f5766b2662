#!/usr/bin/env bash
# Makes .venv from requirements.lock: the project's Python environment, the same on every machine.
# `setup.sh lock` writes the lock files anew. The lock is uv's export with hashes rather than uv.lock, which
# would record the address of whatever package index the machine at hand uses.
set -euo pipefail
cd "$(dirname "$0")/.."

UV_VERSION=0.13.8
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/k3k-pulumi

fail() { echo "setup: $*" >&2; exit 1; }

again() { # a command that fetches something, run again when it fails: registries have bad minutes
  local pause
  for pause in 2 10 30 60; do
    "$@" && return
    sleep "$pause"
  done
  "$@"
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python 3.11 or newer on PATH; install one, or name it: make setup PYTHON=/path/to/python3"
}

# uv in an environment of its own, so that neither the system's Python nor the project's is touched.
install_uv() {
  UV=$CACHE/uv-$UV_VERSION/bin/uv
  [ -x "$UV" ] && return
  if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    [ "$(id -u)" = 0 ] || fail "Python's venv module is missing and this is not root; install python3-venv"
    echo "setup: installing python3-venv"
    # Somebody else's apt (unattended upgrades) is waited for.
    again apt-get update -qq -o Acquire::Retries=5
    DEBIAN_FRONTEND=noninteractive again apt-get install -y -qq -o Acquire::Retries=5 \
      -o DPkg::Lock::Timeout=300 python3-venv >/dev/null
  fi
  echo "setup: installing uv $UV_VERSION"
  rm -rf "$CACHE/uv-$UV_VERSION"
  "$PYTHON" -m venv "$CACHE/uv-$UV_VERSION"
  again "$CACHE/uv-$UV_VERSION/bin/pip" install --quiet --disable-pip-version-check --retries 10 "uv==$UV_VERSION"
}

PYTHON=$(find_python)
install_uv
export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
export UV_HTTP_RETRIES=${UV_HTTP_RETRIES:-10} UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-120} # a registry's bad minute

export_lock() { # output file, arguments of uv export
  local out=$1
  shift
  "$UV" export --frozen --no-emit-workspace --format requirements-txt --no-header --no-annotate --quiet --output-file "$out" "$@" >/dev/null
}

if [ "${1:-}" = lock ]; then
  "$UV" lock --quiet
  export_lock requirements.lock --all-packages --all-extras
  export_lock kubelet/image/requirements.lock --package k3k-kubelet --no-dev
  exit
fi

echo "setup: Python environment (.venv) from requirements.lock"
[ -x .venv/bin/python ] || "$UV" venv --quiet --python "$PYTHON" .venv
again "$UV" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
again "$UV" pip install --quiet --python .venv/bin/python --no-deps --editable . --editable kubelet
touch .venv/ready
