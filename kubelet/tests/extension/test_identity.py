"""Who asks, by the headers of the aggregator."""

from __future__ import annotations

import pytest
from k3k_kubelet.extension.identity import of_headers
from k3k_kubelet.server.access import Identity
from k3k_kubelet.server.messages import HttpError, Request


def request(*headers: tuple[bytes, bytes]) -> Request:
    """A request with these headers."""
    return Request("GET", "/apis", ("apis",), (), headers, "")


def test_names_are_read_as_the_api_server_writes_them() -> None:
    found = of_headers(
        request(
            (b"x-remote-user", "Änne 😀".encode()),
            (b"x-remote-user", b"another"),
            (b"x-remote-group", "Größe".encode()),
            (b"x-remote-uid", b"7"),
            (b"x-remote-extra-example.com%2fk%c3%b6y", "wärt".encode()),
        )
    )
    extra = {"example.com/köy": ["wärt"]}
    assert found == Identity("Änne 😀", "7", ("Größe", "system:authenticated"), extra)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"x-remote-user", b""),),
        ((b"x-remote-user", b"\xff"),),
        ((b"x-remote-group", b"system:masters"),),
    ],
    ids=["nobody", "no name", "no UTF-8", "a group alone"],
)
def test_who_has_no_name_is_nobody(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(HttpError) as refused:
        of_headers(request(*headers))
    assert refused.value.code == 401
