"""What a request can fail with: one exception per reason, the same on both sides of the wire.

The server raises them and answers with their `status()`; the client reads a Status and raises the same class.

    ApiError
    +-- BadRequest            400   the request makes no sense as it stands
    +-- Unauthorized          401   nobody knows who asks
    +-- Forbidden             403   who asks may not
    +-- NotFound              404
    +-- MethodNotAllowed      405
    +-- NotAcceptable         406
    +-- AlreadyExists         409
    +-- Conflict              409   the object changed in between, or a precondition does not hold
    |   +-- Fenced            409   the sender's election has another holder by now
    +-- Gone                  410   the resource version or page is too old: Expired
    +-- RequestTooLarge       413
    +-- UnsupportedMediaType  415
    +-- Invalid               422   fields break rules; each is a cause
    +-- TooManyRequests       429   try again after `retry_after_s`
    +-- InternalError         500   a defect of ours
    +-- ServiceUnavailable    503   no leader, or going down; try again after `retry_after_s`
    +-- Timeout               504   not in time; a write may have happened unless `definite`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from .meta import Status, StatusCause, StatusDetails


class ApiError(Exception):
    """Root of the tree. `definite`: the request did not take effect and never will."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        group: str = "",
        name: str = "",
        uid: str = "",
        causes: Sequence[StatusCause] = (),
        retry_after_s: int = 0,
        definite: bool = True,
        code: int = 0,
        reason: str = "",
    ) -> None:
        """`kind` is what Kubernetes puts there: the plural resource, or the Kind for Invalid."""
        super().__init__(message)
        self.message = message
        self.details = StatusDetails(
            name=name, group=group, kind=kind, uid=uid, causes=list(causes), retry_after_seconds=retry_after_s
        )
        self.definite = definite
        self.status_code = code or self.code
        self.status_reason = reason or self.reason

    @property
    def causes(self) -> list[StatusCause]:
        return self.details.causes

    @property
    def retry_after_s(self) -> int:
        return self.details.retry_after_seconds

    def status(self) -> Status:
        """The object to answer with."""
        details = None if self.details == StatusDetails() else self.details
        return Status(
            status="Failure",
            message=self.message,
            reason=self.status_reason,
            details=details,
            code=self.status_code,
        )


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized") -> None:
        super().__init__(message)


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Fenced(Conflict):
    code, reason = 409, "Fenced"


class Gone(ApiError):
    code, reason = 410, "Expired"


class RequestTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


_BY_REASON: dict[str, type[ApiError]] = {
    each.reason: each
    for each in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        AlreadyExists,
        Conflict,
        Fenced,
        Gone,
        RequestTooLarge,
        UnsupportedMediaType,
        Invalid,
        TooManyRequests,
        InternalError,
        ServiceUnavailable,
        Timeout,
    )
}
_BY_CODE: dict[int, type[ApiError]] = {each.code: each for each in _BY_REASON.values() if each is not Fenced}
_BY_CODE[409] = Conflict


def from_status(status: Status) -> ApiError:
    """The error a Status stands for: by its reason, else by its code."""
    kind = _BY_REASON.get(status.reason) or _BY_CODE.get(status.code) or InternalError
    details = status.details or StatusDetails()
    error = kind.__new__(kind)
    ApiError.__init__(
        error,
        status.message or status.reason or f"HTTP {status.code}",
        kind=details.kind,
        group=details.group,
        name=details.name,
        uid=details.uid,
        causes=details.causes,
        retry_after_s=details.retry_after_seconds,
        definite=status.code not in (500, 502, 504),
        code=status.code,
        reason=status.reason,
    )
    return error
