"""The page "Services": the field tables of Services and of EndpointSlices, for people.

The text around the tables stands in `services.md` beside this file; a line `{{name}}` there is replaced.
"""

from pathlib import Path

from k3k_kubelet.translate.table.endpoint_slice import ENDPOINT
from k3k_kubelet.translate.table.service import SERVICE_SPEC

from kubelet.docs.page import Group, section

_TEXT = Path(__file__).parent / "services.md"

GROUPS = (
    Group("Fields of a Service", "spec", SERVICE_SPEC),
    Group("Fields of an endpoint", "endpoints[] of an EndpointSlice", ENDPOINT),
)


def render() -> str:
    """The whole page."""
    fields = "\n".join(section(group) for group in GROUPS)
    return _TEXT.read_text().replace("{{fields}}", fields.strip())
