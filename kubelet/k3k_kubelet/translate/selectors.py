"""Whether labels match a LabelSelector (apimachinery's metav1.LabelSelectorAsSelector)."""

from collections.abc import Mapping
from typing import Any

from k3k_kubelet.translate.objects import Refused


def matches(selector: Mapping[str, Any], labels: Mapping[str, str], path: str = "selector") -> bool:
    """Whether an object with these labels is chosen; an empty selector chooses every one.

    Raises:
        Refused: the selector has an operator that Kubernetes does not know; it stands at `path`.
    """
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(each, labels, f"{path}.matchExpressions[{n}]") for n, each in enumerate(expressions)
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str], path: str) -> bool:
    found = labels.get(expression.get("key", ""))
    values = expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return found in values
        case "NotIn":
            return found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case other:
            raise Refused(
                f"{path}.operator", f"{other!r} is no operator", "use In, NotIn, Exists or DoesNotExist"
            )
