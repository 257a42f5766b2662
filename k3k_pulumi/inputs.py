"""Inputs of components: values that are known now or later, and how a program ends that must not go on."""

from __future__ import annotations

import enum
import inspect
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeGuard, TypeVar, cast

import pulumi
from pulumi import _types
from pulumi.resource import DependencyResource

from k3k_pulumi.errors import InputError

T = TypeVar("T")

_NAMESPACES = ("kubernetes:core/v1:Namespace", "kubernetes:core/v1:NamespacePatch")
_MESSAGE_SHOWN = 32
"""Exit code of a program that has told the user what is wrong, in Pulumi's protocol with its programs."""


class VirtualClusterInputError(pulumi.RunError, InputError):
    """Arguments that cannot become a cluster. Pulumi shows a line for each, and no traceback."""


def parsed(
    parse: Callable[[Any, Mapping[str, Any]], T],
    resource: str,
    args: Mapping[str, Any],
    argument: str,
    refused: Callable[[Sequence[str]], Exception],
) -> T:
    """A component's specification, under the name that its objects have on the host.

    A resource can be called otherwise in its program so, and nothing on the host is.

    Args:
        parse: Makes it of that name and the other arguments.
        resource: Name of the resource.
        args: The component's arguments.
        argument: The one that names the objects; without it, the resource's name does.
        refused: Makes the error of the lines for problems, in which the name is called as the user gives it.
    """
    given = args.get(argument)
    rest = {key: value for key, value in args.items() if key != argument}
    try:
        return parse(resource if given is None else given, rest)
    except InputError as error:
        problems = error.problems
        if "name" not in args:  # which is no argument: the line is about that one then
            problems = tuple(_naming(line, argument, is_given=given is not None) for line in problems)
        raise refused(problems) from None


def _naming(line: str, argument: str, *, is_given: bool) -> str:
    """A line of a model about a component, where the name is wrong in the words of `parsed`."""
    if not line.startswith("name: "):
        return line
    return argument + line.removeprefix("name") if is_given else f"{line}; or set {argument}"


def plain(args: T) -> T:
    """The arguments with plain data in place of a Pulumi SDK's own.

    Args:
        args: Arguments of a component, or a part of them.

    Returns:
        A copy that has dicts for Args objects (`k8s.core.v1.TolerationArgs(...)`), at any depth, with the
        names that their attributes have in Python, and the values of enums. Outputs stay as they are.
    """
    return cast(T, _plain(args))


def _plain(value: Any) -> Any:
    if _types.is_input_type(type(value)):
        value = _types.input_type_to_untranslated_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value


def is_later(value: object) -> TypeGuard[pulumi.Output[Any]]:
    """Whether a value is known only later: an Output, or something to be awaited."""
    return isinstance(value, pulumi.Output) or inspect.isawaitable(value)


def _end_program(error: Exception) -> BaseException:
    pulumi.log.error(str(error))
    return SystemExit(_MESSAGE_SHOWN)


HOW_TO_END: ContextVar[Callable[[Exception], BaseException]] = ContextVar("how_to_end", default=_end_program)
"""What `ended` does: a plugin serves more than one component, and must not end with one of them."""


def as_secret(value: pulumi.Input[T]) -> pulumi.Output[T]:
    """The value as a secret. `Output.secret` does more: it makes an Output of each value within a map.

    Args:
        value: Has no Output within it.
    """
    if isinstance(value, pulumi.Output):
        known = cast("Awaitable[T]", value.future(with_unknowns=True))
        return pulumi.Output(value.resources(), known, value.is_known(), _settled(True))
    return pulumi.Output(set(), _settled(value), _settled(True), _settled(True))


async def _settled(value: Any) -> Any:
    return value


def ended(error: Exception) -> BaseException:
    """What to raise where a value that came later is bad: the program ends with the error's lines.

    Hundreds of inputs may wait for that value. An exception would be raised again in each of them, and
    CPython 3.11 crashed on that heap of tracebacks before the user saw a word.
    """
    return HOW_TO_END.get()(error)


def end_quietly() -> None:
    """Called when the user has been told why a deployment fails: the program's end adds nothing to that.

    The engine interrupts a program whose deployment has failed while resources wait, and Python shows a
    traceback of that below the error. A program that the Automation API runs has a thread of its own, and
    its process is the user's.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if is_ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: _exit())


def _exit() -> None:
    # The host's credentials, which the kubernetes client keeps in files until the interpreter's own end.
    client = sys.modules.get("kubernetes.config.kube_config")
    if client is not None:
        client._cleanup_temp_files()  # noqa: SLF001 - there is no public way
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_MESSAGE_SHOWN)


def when_made(value: pulumi.Input[T]) -> pulumi.Output[T]:
    """The value, known when the resources that it comes from have been made.

    The name of a Namespace that the same program is about to make is known in a preview, the Namespace itself
    is not there yet: nobody must look for it on the host.
    """

    async def known() -> Any:
        output = pulumi.Output.from_input(value)
        made = [await _id(each) for each in await output.resources()]
        return pulumi.Output.all(output, *made).apply(lambda values: values[0])

    if not is_later(value):
        return pulumi.Output.from_input(value)
    return cast("pulumi.Output[T]", pulumi.Output.from_input(known()))


async def _id(source: pulumi.Resource) -> pulumi.Output[str] | None:
    """The id of a resource that a value comes from, unknown until it is made; None where it has none."""
    if isinstance(source, DependencyResource):
        # A program in another language has it, and here is no more than its URN.
        urn = str(await source.urn.future())
        _, _, types, name = urn.split("::", 3)
        type_ = types.rpartition("$")[2]
        if type_ not in _NAMESPACES:
            return None  # it may be a component, which never has an id
        return pulumi.CustomResource(type_, name, None, pulumi.ResourceOptions(urn=urn)).id
    # A reference to another stack is known whenever the other stack has been deployed.
    if isinstance(source, pulumi.CustomResource) and not isinstance(source, pulumi.StackReference):
        return source.id
    return None
