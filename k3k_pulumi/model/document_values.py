"""What the values of the policy document must be: for one wrong value the virtual kubelet refuses it whole.

A unit test holds each pattern, length, range and required key against the kubelet's policy.schema.json. What
the kubelet checks between fields (its classes' `__post_init__`) has the same words here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from k3k_pulumi.model.fragments import Fields, Form, ListOf, MapOf, Within, choice, integer, text

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_QUALIFIED = r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"
_NODE_NAME = "metadata.name"


def _range(value: str) -> str | None:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        return f"must be a CIDR: {error}"
    return None


NAME = Form(
    r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
    "a name of lowercase letters, digits, '-' and '.', with a letter or digit at both ends",
    253,
)
CLASS_NAME = Form(
    r"^(\*|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)$",
    "* or a name of lowercase letters, digits, '-' and '.', with a letter or digit at both ends",
    253,
)
LABEL_KEY = Form(
    _QUALIFIED,
    "a key like app or example.com/app: letters, digits, '-', '_', '.', with a letter or digit at both ends",
    317,
)
LOAD_BALANCER_CLASS = Form(
    _QUALIFIED,
    "a class like example.com/internal: letters, digits, '-', '_', '.', with a letter or digit at both ends",
    317,
)
_LABEL_VALUE = "empty, or letters, digits, '-', '_' and '.', with a letter or digit at both ends"
LABEL_VALUE = Form(_VALUE, _LABEL_VALUE, 63)
LABELS = MapOf(LABEL_VALUE, LABEL_KEY)
ALLOWED_KEY = Form(
    r"^(?!([^/]+\.)?k3k-pulumi\.io/)[^\s*]+$",
    "one key without spaces and *, and none of k3k-pulumi.io/",
)
PROFILE = Form(
    r"^(RuntimeDefault|Unconfined|Localhost/.+)$",
    "RuntimeDefault, Unconfined or Localhost/ and a path",
)
REGISTRY = Form(
    r"^(localhost|(?=[^/]*[.:])([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[a-fA-F0-9:]+\])(:[0-9]+)?)"
    r"(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*/?$",
    "a registry, and perhaps the beginning of a path there: registry.example.com/team/",
    255,
)
HOST_PATH = Form(r"^/$|^(/(?!\.\.?(/|$))[^/]+)+$", "an absolute path like /srv/data, without . and .. in it")
CAPABILITY = Form(
    r"^(?!CAP_)[A-Z][A-Z0-9_]*$", "a capability in capital letters and without CAP_, like NET_RAW, or ALL"
)
CIDR = Form(r"^[0-9a-fA-F:.]+/[0-9]{1,3}$", "a CIDR like 192.0.2.0/24", check=_range)
HOST_NAME = Form(
    rf"^(\*|(\*\.)?{_LABEL}(\.{_LABEL})*)$",
    "a host name in lowercase letters like www.example.com, *.example.com or *",
    253,
)
API_GROUP = Form(r"^([a-z0-9.-]+)?$", "an API group like snapshot.storage.k8s.io, or empty")
KIND = Form(r"^[A-Z][A-Za-z0-9]*$", "a kind like VolumeSnapshot")
ID = Within(0, 2**31 - 1)


def _toleration(found: Mapping[str, Any]) -> str | None:
    if found.get("operator", "Equal") == "Exists":
        if found.get("value"):
            return "`value` must be left out with the operator Exists"
    elif not found.get("key"):
        return "`key` is missing: without one the operator must be Exists"
    if "tolerationSeconds" in found and found.get("effect") != "NoExecute":
        return "`tolerationSeconds` needs the effect NoExecute"
    return None


TOLERATIONS = ListOf(
    Fields(
        {
            "key": text,
            "operator": choice("Equal", "Exists"),
            "value": text,
            "effect": choice("", "NoSchedule", "PreferNoSchedule", "NoExecute"),
            "tolerationSeconds": integer,
        },
        check=_toleration,
    )
)


def _requirement(found: Mapping[str, Any]) -> str | None:
    operator, values = found["operator"], found.get("values", [])
    if operator in ("Exists", "DoesNotExist"):
        return f"`values` must be left out with the operator {operator}" if values else None
    if not values:
        return f"`values` is missing: the operator {operator} needs some"
    if operator in ("Gt", "Lt") and not (len(values) == 1 and values[0].isascii() and values[0].isdecimal()):
        return f"`values` must be one whole number with the operator {operator}"
    return None


def _term(found: Mapping[str, Any]) -> str | None:
    fields = found.get("matchFields", [])
    if not found.get("matchExpressions") and not fields:
        return "a term without `matchExpressions` and `matchFields` matches no node"
    for each in fields:
        if each["key"] != _NODE_NAME or each["operator"] not in ("In", "NotIn") or len(each["values"]) != 1:
            return f"`matchFields` can only say {_NODE_NAME}, with In or NotIn and one name of a node"
    return None


_REQUIREMENT = Fields(
    {
        "key": LABEL_KEY,
        "operator": choice("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
        "values": ListOf(Form(_VALUE, _LABEL_VALUE, 253)),
    },
    required=("key", "operator"),
    check=_requirement,
)
_TERM = Fields({"matchExpressions": ListOf(_REQUIREMENT), "matchFields": ListOf(_REQUIREMENT)}, check=_term)
NODE_AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": ListOf(_TERM)},
    "preferredDuringSchedulingIgnoredDuringExecution": ListOf(
        Fields({"weight": Within(1, 100), "preference": _TERM}, required=("weight", "preference"))
    ),
}


def once(*keys: str) -> Callable[[Sequence[Mapping[str, Any]]], str | None]:
    """Checks that no two items of a list have the same values of some keys."""

    def check(items: Sequence[Mapping[str, Any]]) -> str | None:
        found = [tuple(each[key] for key in keys) for each in items]
        twice = next((each for each in found if found.count(each) > 1), None)
        return f"has {'/'.join(twice)} twice: leave one out" if twice else None

    return check
