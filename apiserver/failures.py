"""What the store says, in the words of the API."""

from __future__ import annotations

from apiserver.api.errors import (
    ApiError,
    BadRequest,
    Gone,
    InternalError,
    RequestTooLarge,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
)
from apiserver.api.meta import StatusCause
from raftstore.errors import (
    CapacityError,
    Compacted,
    FutureRevision,
    KeyTooLarge,
    NoSpace,
    RequestError,
    StoreError,
    UnavailableError,
)
from raftstore.errors import RequestTooLarge as StoreRequestTooLarge
from raftstore.errors import TooManyRequests as StoreTooManyRequests

RETRY_AFTER_S = 1
NO_SPACE_RETRY_AFTER_S = 30


def too_large_version(asked: int, current: int) -> Timeout:
    """A resource version that this replica has not applied in time (client-go knows the cause)."""
    return Timeout(
        f"Too large resource version: {asked}, current: {current}",
        retry_after_s=RETRY_AFTER_S,
        causes=[StatusCause(reason="ResourceVersionTooLarge", message="Too large resource version")],
    )


def api_error(error: StoreError, *, revision: int = 0) -> ApiError:
    """The ApiError a StoreError stands for. An indefinite one stays indefinite."""
    if isinstance(error, Compacted):
        return Gone(f"The resourceVersion {revision or 'asked for'} is too old: {error.message}. List anew.")
    if isinstance(error, FutureRevision):
        return BadRequest(f"resourceVersion {revision}: {error.message}")
    if isinstance(error, NoSpace):
        return ServiceUnavailable(f"the store is full: {error.message}", retry_after_s=NO_SPACE_RETRY_AFTER_S)
    if isinstance(error, StoreTooManyRequests):
        return TooManyRequests(error.message, retry_after_s=RETRY_AFTER_S)
    if isinstance(error, StoreRequestTooLarge | KeyTooLarge):
        return RequestTooLarge(f"the object is too large for the store: {error.message}")
    if not error.definite:
        return Timeout(f"the write may or may not have happened: {error.message}", definite=False)
    if isinstance(error, UnavailableError | CapacityError):
        return ServiceUnavailable(error.message, retry_after_s=RETRY_AFTER_S)
    if isinstance(error, RequestError):
        return InternalError(f"the store refused the request: {error.message}")
    return ServiceUnavailable(error.message, retry_after_s=RETRY_AFTER_S)
