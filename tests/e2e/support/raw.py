"""The API of a cluster as it is: objects as JSON, nothing checked or added on the way.

For tests that send what kubectl would not let through, or many requests: no process is started for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes import client, config

_LATE, _TRIES = "etcdserver: ", 10
"""In an answer for which etcd took too long, 7 s and more; and how often such a one is asked for."""
_CONFLICT = 409
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class RawError(AssertionError):
    """An answer of the API server that is none of 2xx.

    Attributes:
        code: HTTP status.
        status: the decoded Status object, `{}` if there is none.
    """

    def __init__(self, request: str, code: int, body: str) -> None:
        try:
            self.status: dict[str, Any] = json.loads(body)
        except ValueError:
            self.status = {}
        self.code = code
        super().__init__(f"{request} was answered with {code}: {self.status.get('message') or body[:500]}")

    @property
    def fields(self) -> list[str]:
        """The fields that the API server found wrong."""
        causes = (self.status.get("details") or {}).get("causes") or ()
        return [cause.get("field", "") for cause in causes]


class Raw:
    """Requests to one API server.

    Args:
        kubeconfig: says where it is and who asks, by client certificate or token.
        token: asks as this bearer alone; "" as the kubeconfig says.
    """

    def __init__(self, kubeconfig: Path, token: str = "") -> None:
        made = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=made)
        made.connection_pool_maxsize = 16
        self._headers = dict(JSON)
        if token:
            made.cert_file = made.key_file = None
            self._headers["Authorization"] = f"Bearer {token}"
        self._api = client.ApiClient(made)

    def __call__(self, method: str, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> Any:
        """One request; `accept` and `content_type` take the place of JSON.

        It is made again where the server's etcd had no time for it: what it was to make may be there then.

        Raises:
            RawError: the API server says no.
        """
        own = {key.replace("_", "-").title(): value for key, value in headers.items()}
        url = self._api.configuration.host + path
        for attempt in range(_TRIES):
            answer = self._api.call_api(method, url, self._headers | own, body, _request_timeout=60)
            text = answer.read().decode(errors="replace")
            if attempt and method == "POST" and answer.status == _CONFLICT and body is not None:
                return self("GET", f"{path}/{body['metadata']['name']}")
            if answer.status < 500 or _LATE not in text:
                break
        if not 200 <= answer.status < 300:
            raise RawError(f"{method} {path}", answer.status, text)
        return json.loads(text) if text.startswith(("{", "[")) else text

    def items(self, path: str, **headers: str) -> list[Any]:
        """The items of a list."""
        return self("GET", path, **headers)["items"] or []
