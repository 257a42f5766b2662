"""What an API server answers when it refuses, as exceptions that carry its Status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson


class ApiError(Exception):
    """A request that did not succeed.

    Attributes:
        code: HTTP status, 0 when no answer came.
        reason: The Status' machine-readable reason, such as `AlreadyExists`; may be empty.
        message: The server's own words.
        details: The Status' details (causes, kind, name), may be empty.
        retry_after: Seconds the server asks to wait, or None.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after

    @property
    def is_outage(self) -> bool:
        """Whether it failed for reasons that have nothing to do with the request; what it did is unknown."""
        return self.code == 0 or self.code >= 500

    def __str__(self) -> str:
        head = f"{self.code} {self.reason}".strip()
        return f"{head}: {self.message}"


class UnreachableError(ApiError):
    """No answer: connection refused or cut, TLS failure, time-out. Whether a write took place is unknown."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unreachable", message)


class UnauthorizedError(ApiError):
    """401: the credentials were not accepted."""


class ForbiddenError(ApiError):
    """403: missing right, quota, Pod Security, or a webhook that said no."""

    @property
    def is_about_rights(self) -> bool:
        """Whether the authorizer said no, rather than admission: its words name the account that asked."""
        return 'User "' in self.message and '" cannot ' in self.message


class NotFoundError(ApiError):
    """404."""


class ConflictError(ApiError):
    """409: a precondition (uid, resourceVersion) does not hold, or the pod is bound already."""


class AlreadyExistsError(ConflictError):
    """409 with reason AlreadyExists."""


class GoneError(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class InvalidError(ApiError):
    """422: the object does not pass validation."""


class TooManyRequestsError(ApiError):
    """429: also what an eviction answers that a disruption budget does not allow now."""


_BY_CODE: dict[int, type[ApiError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
    429: TooManyRequestsError,
}


class _Status(msgspec.Struct):
    code: int = 0
    reason: str = ""
    message: str = ""
    details: dict[str, Any] | None = None


def from_status(status: Any, *, code: int = 0, retry_after: float | None = None) -> ApiError:
    """The exception for a Status object, as a body or as the object of a watch's ERROR event."""
    try:
        parsed = msgspec.convert(status, _Status)
    except msgspec.ValidationError:
        parsed = _Status(message=str(status)[:500])
    code = parsed.code or code
    details = parsed.details or {}
    seconds = details.get("retryAfterSeconds")
    if retry_after is None and isinstance(seconds, int):
        retry_after = float(seconds) or None
    kind = AlreadyExistsError if parsed.reason == "AlreadyExists" else _BY_CODE.get(code, ApiError)
    message = parsed.message or f"HTTP status {code}"
    return kind(code, parsed.reason, message, details=details, retry_after=retry_after)


def from_response(code: int, body: bytes, retry_after: str | None) -> ApiError:
    """The exception for an HTTP answer of 400 and above; the body may be a Status or plain text."""
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = {"message": body[:500].decode(errors="replace").strip()}
    return from_status(status, code=code, retry_after=seconds)
