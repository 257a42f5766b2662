"""The components for programs in other languages: what `provider/` serves to the Pulumi engine.

The SDK's component provider derives the schema from the components' annotations. It does not carry arguments
over whole: unknown keys are dropped in silence, so is a group of arguments that comes as one Output, whole
numbers become floats, and each error has a traceback of this process. What is here mends that.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.errors import InputPropertiesError
from pulumi.output import Unknown
from pulumi.provider import main
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.provider import ConstructResult
from pulumi.provider.server import ComponentInitError

from k3k_pulumi.args import VirtualClusterArgs
from k3k_pulumi.errors import InputError
from k3k_pulumi.inputs import HOW_TO_END
from k3k_pulumi.model.text import nearest
from k3k_pulumi.model.versions import LIBRARY
from k3k_pulumi.policy_args import PolicyRulesArgs, SharedModeNamespaceArgs, VirtualClusterPolicyArgs
from k3k_pulumi.shared_mode_namespace import SharedModeNamespace
from k3k_pulumi.virtual_cluster import VirtualCluster
from k3k_pulumi.virtual_cluster_policy import VirtualClusterPolicy

if TYPE_CHECKING:
    from pulumi.provider.experimental.analyzer import ComponentDefinition, PropertyDefinition, TypeDefinition

NAME = "k3k-pulumi"
"""Of the package; the first part of the components' types."""
_NAMESPACE = "k3k-pulumi"
"""Of the generated packages: `@k3k-pulumi/k3k-pulumi` for Node. Pulumi's own by default."""
_COMPONENTS: dict[type[pulumi.ComponentResource], tuple[type, ...]] = {
    VirtualCluster: (VirtualClusterArgs,),
    VirtualClusterPolicy: (VirtualClusterPolicyArgs, PolicyRulesArgs),
    SharedModeNamespace: (SharedModeNamespaceArgs, PolicyRulesArgs),
}
"""Those that are served, each with the classes in which its arguments' docstrings stand."""
_WORD = re.compile(r"(?<!['\w])[a-z]+(?:_[a-z]+)+(?!['\w])")
_NO_OUTPUT = (
    "is an Output or a secret, which are taken only where the field's description says so: give a plain "
    "value that is known when the program runs"
)


class Provider(ComponentProvider):
    """The components of this library as the engine sees them."""

    def __init__(self) -> None:
        """Derives the schema from the components' annotations and docstrings."""
        super().__init__(list(_COMPONENTS), NAME, _NAMESPACE, LIBRARY)
        schema = json.loads(self.schema or "{}")
        for component, classes in _COMPONENTS.items():
            definition = self._component_defs[component.__name__]
            resource = schema["resources"][f"{NAME}:index:{component.__name__}"]
            resource["description"] = inspect.getdoc(component)
            for name, field in resource["inputProperties"].items():
                field["description"] = self._description(classes, definition.inputs_mapping[name])
        self.schema = json.dumps(schema, indent=2)
        groups = [*self._type_defs.values()]
        mappings = [each.properties_mapping for each in groups]
        mappings += [each.inputs_mapping for each in self._component_defs.values()]
        self._in_schema = {python: name for mapping in mappings for name, python in mapping.items()}

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: pulumi.Inputs,
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        """Registers a component and what it consists of.

        Raises:
            InputPropertiesError: Bad arguments: the engine shows the lines for them, and no traceback. Where
                only an Output's value is bad, resolving the component's outputs raises it.
        """
        late = _LateRefusal()
        HOW_TO_END.set(late.note)  # for this request: each one has a context of its own
        try:
            result = super().construct(name, resource_type, inputs, options)
        except _ArgumentsError as error:
            raise _refused(
                InputError(f"{resource_type.rpartition(':')[2]} {name!r}", error.problems)
            ) from None
        except ComponentInitError as error:
            if isinstance(error.inner, pulumi.RunError):
                raise self._refused(error.inner) from None
            raise
        state = {key: late.unless_noted(value, self._refused) for key, value in result.state.items()}
        return ConstructResult(result.urn, state)

    def map_inputs(self, inputs: pulumi.Inputs, component_def: ComponentDefinition) -> dict[str, Any]:
        """The arguments under their Python names."""
        reader = _Reader(self)
        found = reader.group(inputs, component_def.inputs, component_def.inputs_mapping, "")
        if reader.problems:
            raise _ArgumentsError(reader.problems)
        return found

    def _description(self, classes: Sequence[type], field: str) -> str | None:
        """A field's docstring; the analyzer itself looks for it in the first class alone."""
        return next(filter(None, (self.analyzer.get_docstring(each, field) for each in classes)), None)

    def _refused(self, error: Exception) -> InputPropertiesError:
        """The error with the arguments' names as other languages have them; values found stay."""
        return _refused(_WORD.sub(lambda word: self._in_schema.get(word[0], word[0]), str(error)))


class _LateRefusal:
    """The end of one component whose arguments turn out bad when an Output is known.

    What waits for that Output is cancelled: an error would be raised again in each of hundreds of inputs.
    """

    def __init__(self) -> None:
        """Nothing is wrong yet."""
        self._noted: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def note(self, error: Exception) -> BaseException:
        """Keeps the error; what to raise in its place."""
        if not self._noted.done():
            self._noted.set_result(error)
        return asyncio.CancelledError()

    def unless_noted(
        self, value: pulumi.Input[Any], refused: Callable[[Exception], Exception]
    ) -> pulumi.Output[Any]:
        """An output of the component, or the error as `refused` words it."""
        output = pulumi.Output.from_input(value)

        async def first() -> Any:
            either: list[asyncio.Future[Any]] = [asyncio.ensure_future(output.is_known()), self._noted]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._noted.done():
                raise refused(self._noted.result())
            return output

        return pulumi.Output.from_input(first())


def _refused(message: object) -> InputPropertiesError:
    # Without properties: the engine would print their values, secret ones too.
    return InputPropertiesError(str(message), [])


class _ArgumentsError(Exception):
    """Arguments that do not fit the schema."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__()
        self.problems = problems


class _Reader:
    """Arguments as the engine hands them over, read by the schema.

    Attributes:
        problems: A line for each problem found, with the path.
    """

    def __init__(self, provider: ComponentProvider) -> None:
        """Nothing is read yet."""
        self._provider = provider
        self.problems: list[str] = []

    def group(
        self,
        given: Mapping[str, Any],
        properties: Mapping[str, PropertyDefinition],
        names: Mapping[str, str],
        path: str,
    ) -> dict[str, Any]:
        """A group of arguments under their Python names."""
        for key in given.keys() - properties.keys():
            self.problems.append(f"{path}{key}: unknown argument; {nearest(key, properties)}")
        return {
            names[key]: self._value(given[key], each, f"{path}{key}")
            for key, each in properties.items()
            if given.get(key) is not None
        }

    def _value(self, given: Any, prop: PropertyDefinition, path: str) -> Any:
        if not prop.plain:
            return _later(given) if _has_outputs(given) else _whole(given)
        if isinstance(given, dict) and (definition := self._definition(prop)):
            return self.group(given, definition.properties, definition.properties_mapping, f"{path}.")
        if isinstance(given, list) and prop.items:
            return [self._value(each, prop.items, f"{path}[{at}]") for at, each in enumerate(given)]
        if isinstance(given, dict) and prop.additional_properties:
            inner = prop.additional_properties
            return {key: self._value(each, inner, f"{path}.{key}") for key, each in given.items()}
        self.problems += [f"{each}: {_NO_OUTPUT}" for each in _outputs(given, path)]
        return _whole(given)

    def _definition(self, prop: PropertyDefinition) -> TypeDefinition | None:
        return self._provider.get_type_definition(prop) if prop.ref else None


def _later(given: Any) -> pulumi.Output[Any]:
    """One Output of a value that is one, or has some in it."""
    return pulumi.Output.from_input(_with_unknowns(given)).apply(_whole)


def _with_unknowns(given: Any) -> Any:
    if isinstance(given, Unknown):
        return pulumi.UNKNOWN
    if isinstance(given, dict):
        return {key: _with_unknowns(each) for key, each in given.items()}
    return [_with_unknowns(each) for each in given] if isinstance(given, list) else given


def _outputs(given: Any, path: str) -> Iterator[str]:
    """Paths of the values that are known only during the deployment."""
    if isinstance(given, pulumi.Output | Unknown):
        yield path
    elif isinstance(given, dict):
        for key, each in given.items():
            yield from _outputs(each, f"{path}.{key}")
    elif isinstance(given, list):
        for at, each in enumerate(given):
            yield from _outputs(each, f"{path}[{at}]")


def _has_outputs(given: Any) -> bool:
    return next(_outputs(given, ""), None) is not None


def _whole(given: Any) -> Any:
    """A value with whole numbers as such: the engine has floats alone."""
    if isinstance(given, float) and given.is_integer():
        return int(given)
    if isinstance(given, dict):
        return {key: _whole(each) for key, each in given.items()}
    return [_whole(each) for each in given] if isinstance(given, list) else given


def serve() -> None:
    """Serves the components to the engine that started this process, until it ends."""
    main(Provider(), sys.argv[1:])


if __name__ == "__main__":
    sys.stdout.write(f"{Provider().schema}\n")
