"""What came back: objects, pages of lists, events of a watch, or the error a Status stands for. No I/O.

A clean answer decodes in one pass. What a newer server sends, with fields this client does not know, is pruned and
decodes all the same; what was pruned is lost from a later update by PUT, so writers that share an object use patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from apiserver.api.errors import ApiError, InternalError, ServiceUnavailable, from_status
from apiserver.api.kinds import kind_of
from apiserver.api.meta import ListMeta, Status, StatusDetails, TopObject
from apiserver.api.pruning import cleaner

T = TypeVar("T")
TObject = TypeVar("TObject", bound=TopObject)

_ERROR_TEXT_CHARACTERS_MAX = 500


class Response(msgspec.Struct, frozen=True):
    """`headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Page(msgspec.Struct, Generic[T]):
    """Some of a list, in the order of their keys. `metadata.continue_` leads to the next page, if any."""

    items: list[T]
    metadata: ListMeta


class Event(msgspec.Struct, Generic[T], frozen=True):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK. Of a bookmark only the object's metadata means anything."""

    type: str
    object: T

    @property
    def ends_initial_events(self) -> bool:
        """All that was there when the watch began has been sent."""
        metadata = getattr(self.object, "metadata", None)
        annotations = metadata.annotations if metadata is not None else {}
        return self.type == "BOOKMARK" and annotations.get("k8s.io/initial-events-end") == "true"


class RawEvent(msgspec.Struct, frozen=True):
    """An event whose object was not decoded; `object` is its JSON."""

    type: str
    object: msgspec.Raw


class _RawList(msgspec.Struct):
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


_raw_list = _decoder(_RawList)
_raw_event = _decoder(RawEvent)


def decode(raw: bytes | msgspec.Raw, type_: type[T]) -> T:
    """An object of a type. Raises InternalError when it is none: the server speaks another language."""
    try:
        known: Any = type_  # hashable, which a type variable does not say
        found: T = _decoder(known).decode(raw)
    except msgspec.DecodeError:
        found = _decode_pruned(raw, type_)
    return found


def _decode_pruned(raw: bytes | msgspec.Raw, type_: type[T]) -> T:
    try:
        known: Any = type_  # hashable, which a type variable does not say
        cleaned = cleaner(known)(msgspec.json.decode(raw), "", [])
        found: T = _decoder(known).decode(msgspec.json.encode(cleaned))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InternalError(f"the server's answer is no {type_.__name__}: {error}") from error
    return found


def decode_object(raw: bytes | msgspec.Raw, type_: type[TObject]) -> TObject:
    """The same for what has a kind; items of lists, which may leave it out, get it."""
    found = decode(raw, type_)
    if not found.kind:
        kind = kind_of(type_)
        found.api_version, found.kind = kind.api_version, kind.kind
    return found


def decode_page(raw: bytes, type_: type[TObject]) -> Page[TObject]:
    page = decode_raw_page(raw)
    return Page([decode_object(item, type_) for item in page.items], page.metadata)


def decode_raw_page(raw: bytes) -> Page[msgspec.Raw]:
    try:
        found = _raw_list.decode(raw)
    except msgspec.DecodeError:
        found = _decode_pruned(raw, _RawList)
    return Page(found.items or [], found.metadata)


def decode_event(line: bytes) -> RawEvent:
    """A line of a watch. Raises what an ERROR event stands for (Gone: list again)."""
    try:
        event: RawEvent = _raw_event.decode(line)
    except msgspec.DecodeError as error:
        raise InternalError(f"the server's answer is no event of a watch: {error}") from error
    if event.type == "ERROR":
        raise from_status(decode(event.object, Status))
    return event


def error_of(response: Response) -> ApiError:
    """The error of an answer with a code of 400 or more, whoever gave it: the API server, or something before it."""
    status = _status_in(response)
    if status is None:
        text = response.body[:_ERROR_TEXT_CHARACTERS_MAX].decode("utf-8", "replace").strip()
        status = Status(status="Failure", code=response.status, message=f"HTTP {response.status}: {text}".rstrip(": "))
    retry_after_s = _retry_after_s(response)
    if retry_after_s and not (status.details and status.details.retry_after_seconds):
        details = status.details or StatusDetails()
        status.details = msgspec.structs.replace(details, retry_after_seconds=retry_after_s)
    status.code = status.code or response.status
    error = from_status(status)
    if isinstance(error, ServiceUnavailable) and not error.retry_after_s:
        error.definite = False  # not in the words of an API server that refused: who knows what has happened
    return error


def _status_in(response: Response) -> Status | None:
    try:
        status = decode(response.body, Status)
    except InternalError:
        return None
    return status if status.status == "Failure" or status.code else None


def _retry_after_s(response: Response) -> int:
    text = response.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
