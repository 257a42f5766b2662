"""A program run under Pulumi's mocks, and all that it registered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import json_format
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2

SECRET = rpc._special_sig_key
UNKNOWN = rpc.UNKNOWN
CLUSTER_IP = "10.96.7.7"
BALANCER_IP = "198.51.100.7"
COMPONENT = "k3k-pulumi:index:VirtualCluster"


@dataclass(frozen=True)
class Registration:
    """One resource as the engine was asked to register it."""

    request: Any

    @property
    def type(self) -> str:
        return str(self.request.type)

    @property
    def name(self) -> str:
        return str(self.request.name)

    @property
    def inputs(self) -> dict[str, Any]:
        """Inputs as they were sent: secrets wrapped, unknown values as the sentinel."""
        return json_format.MessageToDict(self.request.object)

    @property
    def plain(self) -> Any:
        """Inputs with the secrets in clear."""
        return reveal(self.inputs)


@dataclass(frozen=True)
class Value:
    """What a program's output came to."""

    value: Any
    known: bool
    secret: bool


@dataclass
class Deployment:
    """What a run of a program did."""

    registrations: list[Registration] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)
    reads: list[Any] = field(default_factory=list)

    def titles(self) -> set[tuple[str, str]]:
        """Type and name of all resources."""
        return {(each.type, each.name) for each in self.registrations}

    def one(self, type_: str, name: str) -> Registration:
        """The resource whose type ends so, of that name."""
        (found,) = [each for each in self.registrations if each.type.endswith(type_) and each.name == name]
        return found

    def all(self, prefix: str) -> list[Registration]:
        """The resources whose type begins so."""
        return [each for each in self.registrations if each.type.startswith(prefix)]

    @property
    def read(self) -> list[str]:
        """Ids of the resources that were read, those that were known."""
        return [request.id for request in self.reads if request.id != UNKNOWN]


class Monitor(mocks.MockMonitor):
    """Keeps what it is asked to register."""

    def __init__(self, host: mocks.Mocks) -> None:
        super().__init__(host)
        self.registrations: list[Registration] = []
        self.reads: list[Any] = []

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 - the name of the engine's call
        self.reads.append(request)
        return super().ReadResource(request)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the engine's call
        if request.type != "pulumi:pulumi:Stack":
            kept = resource_pb2.RegisterResourceRequest()
            kept.CopyFrom(request)
            self.registrations.append(Registration(kept))
        return super().RegisterResource(request)


class Engine(mocks.Mocks):
    """Answers as the engine and a host would.

    Stashes keep their first value, Services get addresses, Namespaces that exist are read.
    """

    def __init__(
        self,
        stashes: dict[str, Any],
        namespaces: Mapping[str, Any],
        stacks: Mapping[str, Any],
        secrets: Mapping[str, Any],
        *,
        preview: bool,
    ) -> None:
        self._stashes, self._preview = stashes, preview
        self._namespaces, self._stacks, self._secrets = namespaces, stacks, secrets

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"nothing is to be asked of a provider: {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        state = dict(args.inputs)
        if args.typ == "pulumi:pulumi:StackReference":
            return args.resource_id, {"name": args.name, "outputs": self._stacks[args.resource_id]}
        if args.typ == "kubernetes:core/v1:Namespace" and args.resource_id:
            # While the id is unknown the engine reads nothing.
            known = self._namespaces.get(args.resource_id)
            return args.resource_id, state if known is None else {"metadata": known}
        if args.typ == "kubernetes:core/v1:Secret" and args.resource_id:
            return args.resource_id, state | self._secrets.get(args.resource_id, {})
        if args.typ == "pulumi:index:Stash":
            state["output"] = self._stashes.setdefault(args.name, state["input"])
        elif args.typ == "kubernetes:core/v1:Service" and not self._preview:
            state["spec"] = {"clusterIP": CLUSTER_IP, **state["spec"]}
            state["status"] = {"loadBalancer": {"ingress": [{"ip": BALANCER_IP}]}}
        return ("" if self._preview else f"{args.name}-id"), state


def run(
    program: Callable[[], Mapping[str, pulumi.Output[Any]]],
    *,
    preview: bool,
    stashes: dict[str, Any] | None = None,
    namespaces: Mapping[str, Any] | None = None,
    stacks: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
) -> Deployment:
    """Runs a program to its end and resolves what it returns.

    Args:
        program: Registers resources and returns outputs.
        preview: As `pulumi preview`: what does not exist yet has no id.
        stashes: Values that Stashes keep from run to run, by name.
        namespaces: Metadata of the Namespaces that exist on the host, by their names.
        stacks: Outputs of other stacks, by their names.
        secrets: Secrets that exist on the host, by their ids; while an id is unknown, the engine reads none.
    """
    kept = {} if stashes is None else stashes
    engine = Engine(kept, namespaces or {}, stacks or {}, secrets or {}, preview=preview)
    monitor = Monitor(engine)
    done = Deployment(monitor.registrations, reads=monitor.reads)
    pulumi.runtime.set_mocks(engine, project="project", stack="stack", preview=preview, monitor=monitor)

    async def resolve(outputs: Mapping[str, pulumi.Output[Any]]) -> None:
        for name, output in outputs.items():
            value = await output.future(with_unknowns=True)
            done.outputs[name] = Value(value, await output.is_known(), await output.is_secret())

    @pulumi.runtime.test
    def main() -> Awaitable[None]:
        return resolve(program())

    try:
        main()
    finally:
        pulumi.runtime.settings.reset_options()
    return done


def reveal(value: Any) -> Any:
    """The value with each wrapped secret replaced by what it wraps."""
    if isinstance(value, dict):
        if SECRET in value:
            return reveal(value["value"])
        return {key: reveal(inner) for key, inner in value.items()}
    return [reveal(inner) for inner in value] if isinstance(value, list) else value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Path, value and secrecy of every plain value in the inputs of a resource."""
    if isinstance(value, dict) and SECRET in value:
        yield from ((inner, leaf, True) for inner, leaf, _ in leaves(value["value"], path))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value, False
