"""The specification of a namespace that is made for shared mode: a policy, and who looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from k3k_pulumi.errors import InputError
from k3k_pulumi.model import names
from k3k_pulumi.model.parts import Part, choices, wrong
from k3k_pulumi.model.policy import VirtualClusterPolicySpec
from k3k_pulumi.model.problems import describe


class Tenant(Part):
    """Who may see the host objects of the virtual clusters in the namespace."""

    name: Annotated[str, Field(min_length=1)]
    namespace: str | None = None
    # Last, so that its rules see the others.
    kind: Annotated[str, choices("User", "Group", "ServiceAccount")]

    @field_validator("namespace")
    @classmethod
    def _is_namespace(cls, value: str | None) -> str | None:
        if value is not None and not names.is_label(value):
            raise wrong("must be the name of a namespace")
        return value

    @field_validator("kind")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        has_namespace = info.data.get("namespace", "") is not None
        if value == "ServiceAccount" and not has_namespace:
            raise wrong("needs a namespace: that of the ServiceAccount")
        if value != "ServiceAccount" and info.data.get("namespace"):
            raise wrong(f"has no namespace: leave {info.data['namespace']!r} out, or take a ServiceAccount")
        return value


class _Own(Part):
    """The arguments that a policy does not have."""

    namespace: str
    tenants: tuple[Tenant, ...] = ()


class SharedModeNamespaceSpec(Part):
    """All plain values of a namespace for shared mode, checked. Made by `parse`."""

    policy: VirtualClusterPolicySpec
    namespace: str
    tenants: tuple[Tenant, ...] = ()

    @classmethod
    def parse(cls, name: str, args: Mapping[str, Any]) -> SharedModeNamespaceSpec:
        """Checks the arguments of the component `name`, which is the policy's name as well.

        A key with the value None counts as absent, at every level.

        Raises:
            InputError: With all problems found, not only the first.
        """
        problems: list[str] = []
        given = {key: value for key, value in args.items() if key in _Own.model_fields}
        rules: dict[str, Any] = {key: value for key, value in args.items() if key not in given}
        if given.get("namespace") is None:
            given["namespace"] = name
        if rules.get("namespaces") is not None:
            problems.append("namespaces: unknown argument; did you mean 'namespace'?")
        own = policy = None
        try:
            own = _Own.model_validate(given)
        except ValidationError as error:
            problems += describe(error, _Own)
        try:
            policy = VirtualClusterPolicySpec.parse(name, {**rules, "namespaces": [given["namespace"]]})
        except InputError as error:
            problems += [problem.replace("namespaces[0]:", "namespace:", 1) for problem in error.problems]
        if problems or own is None or policy is None:
            raise InputError(f"SharedModeNamespace {name!r}", list(dict.fromkeys(problems)))
        return cls.model_construct(policy=policy, namespace=own.namespace, tenants=own.tenants)
