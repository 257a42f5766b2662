"""The API of a cluster as it is: objects as JSON, nothing checked or added on the way.

For tests that send what kubectl would not let through, or many requests: no process is started for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from tests.e2e.support.polling import eventually

_BUSY = frozenset({429, 500, 502, 503, 504})
"""Answers that another try may not get."""
_PATIENCE = 60.0
"""Seconds in which a request is made again; of an etcd that takes too long one answer takes 7 and more."""
_DONE = {("POST", 409), ("DELETE", 404)}
"""Answers to what was done before, though nobody was told."""
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class RawError(AssertionError):
    """An answer of the API server that is none of 2xx.

    Attributes:
        code: HTTP status; 0 without an answer.
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

        It is made again where the server had no time for it: what it was to make may be there then.

        Raises:
            RawError: the API server says no, or does not answer (code 0).
        """
        own = {key.replace("_", "-").title(): value for key, value in headers.items()}
        url = self._api.configuration.host + path
        tries = 0

        def answer() -> tuple[int, str]:
            nonlocal tries
            tries += 1
            try:
                found = self._api.call_api(method, url, self._headers | own, body, _request_timeout=60)
                status, text = found.status, found.read().decode(errors="replace")
            except HTTPError as error:
                raise RawError(f"{method} {path}", 0, repr(error)) from error
            if status in _BUSY:
                raise RawError(f"{method} {path}", status, text)
            return status, text

        try:
            status, text = eventually(answer, _PATIENCE)
        except AssertionError as error:
            raise error.__cause__ or error from None
        if tries > 1 and (method, status) in _DONE:
            return self("GET", f"{path}/{body['metadata']['name']}") if method == "POST" and body else {}
        if not 200 <= status < 300:
            raise RawError(f"{method} {path}", status, text)
        return json.loads(text) if text.startswith(("{", "[")) else text

    def items(self, path: str, **headers: str) -> list[Any]:
        """The items of a list."""
        return self("GET", path, **headers)["items"] or []
