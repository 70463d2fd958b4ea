"""One request as the verbs see it, and its options, checked.

Options are Kubernetes' query parameters; a value that has no meaning is a BadRequest that names the parameter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from apiserver.api.errors import BadRequest
from apiserver.auth.user import User
from apiserver.registry.resource import Resource

FIELD_MANAGER_CHARACTERS_MAX = 128
SELECTOR_CHARACTERS_MAX = 16 * 1024
LIMIT_MAX = 1_000_000
TIMEOUT_S_MAX = 24 * 3600
_TRUE = {"1", "t", "true", ""}
_FALSE = {"0", "f", "false"}
NOT_OLDER_THAN = "NotOlderThan"
EXACT = "Exact"


class Call(msgspec.Struct, kw_only=True):
    """`resource` is the row that was asked for, `stored` that of the stored form: the same but for other versions."""

    user: User
    resource: Resource
    stored: Resource
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = {}
    body: bytes = b""
    content_type: str = ""
    fence: str = ""
    warnings: list[str] = []
    request_id: str = ""
    may_create: Callable[[], Awaitable[None]] | None = None  # raises Forbidden: for an update that finds nothing
    own: bool = False  # the server's own write: what it is made of needs no rules, and may break them (live.py)

    def warn(self, text: str) -> None:
        """Tell the client in a Warning header."""
        if text not in self.warnings:
            self.warnings.append(text)

    @property
    def dry_run(self) -> bool:
        """Raises BadRequest."""
        value = self.query.get("dryRun", "")
        if value not in ("", "All"):
            raise BadRequest(f'dryRun: Unsupported value: "{value}": supported values: "All"')
        return value == "All"

    @property
    def strictness(self) -> str:
        """fieldValidation. Other versions than the stored one refuse unknown fields always. Raises BadRequest."""
        value = self.query.get("fieldValidation", "") or "Warn"
        if value not in ("Strict", "Warn", "Ignore"):
            raise BadRequest(
                f'fieldValidation: Unsupported value: "{value}": supported values: "Ignore", "Strict", "Warn"'
            )
        return "Strict" if self.resource.conversion is not None else value

    def check_options(self) -> None:
        """Options of every write. Raises BadRequest."""
        manager = self.query.get("fieldManager", "")
        if len(manager) > FIELD_MANAGER_CHARACTERS_MAX:
            raise BadRequest(f"fieldManager: may not be more than {FIELD_MANAGER_CHARACTERS_MAX} characters")
        if not manager.isprintable():
            raise BadRequest("fieldManager: should only contain printable characters")
        _ = self.dry_run, self.strictness


class ListOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of list, watch and deletecollection."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    continue_: str = ""
    version: int | None = None  # resourceVersion; None: not given
    match: str = ""  # resourceVersionMatch
    watch: bool = False
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout_s: int | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> ListOptions:
        """Raises BadRequest naming the parameter."""
        options = cls(
            labels=_selector(query, "labelSelector"),
            fields=_selector(query, "fieldSelector"),
            limit=_number(query, "limit", LIMIT_MAX) or 0,
            continue_=query.get("continue", ""),
            version=version_of(query.get("resourceVersion", "")),
            match=query.get("resourceVersionMatch", ""),
            watch=_boolean(query, "watch") or False,
            bookmarks=_boolean(query, "allowWatchBookmarks") or False,
            initial_events=_boolean(query, "sendInitialEvents"),
            timeout_s=_number(query, "timeoutSeconds", TIMEOUT_S_MAX),
        )
        options._check()
        return options

    def _check(self) -> None:
        if self.match not in ("", NOT_OLDER_THAN, EXACT):
            raise BadRequest(
                f'resourceVersionMatch: Unsupported value: "{self.match}": supported values: "Exact", "NotOlderThan"'
            )
        if self.watch:
            self._check_watch()
            return
        if self.initial_events is not None:
            raise BadRequest("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")
        if self.match and self.version is None:
            raise BadRequest(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        if self.match == EXACT and self.version == 0:
            raise BadRequest(
                'resourceVersionMatch: Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
            )
        if self.continue_ and (self.match or self.version):
            raise BadRequest("resourceVersion: Forbidden: it may not be given together with continue")

    def _check_watch(self) -> None:
        if self.initial_events is None and self.match:
            raise BadRequest(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch "
                "unless sendInitialEvents is provided"
            )
        if self.initial_events and self.match != NOT_OLDER_THAN:
            raise BadRequest(
                'sendInitialEvents: Forbidden: sendInitialEvents requires resourceVersionMatch "NotOlderThan"'
            )
        if self.initial_events and not self.bookmarks:
            raise BadRequest("sendInitialEvents: Forbidden: sendInitialEvents requires allowWatchBookmarks")
        if self.continue_:
            raise BadRequest("continue: Forbidden: continue is forbidden for watch")


def version_of(text: str) -> int | None:
    """A resourceVersion; None when it is empty. Raises BadRequest."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise BadRequest(f'resourceVersion: Invalid value: "{text[:64]}": must be a number that the server gave')
    return int(text)


def _selector(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    if len(value) > SELECTOR_CHARACTERS_MAX:
        raise BadRequest(f"{name}: may not be more than {SELECTOR_CHARACTERS_MAX} characters")
    return value


def _number(query: Mapping[str, str], name: str, most: int) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise BadRequest(f'{name}: Invalid value: "{text[:64]}": must be a whole number from 0 to {most}')
    return min(int(text), most)


def _boolean(query: Mapping[str, str], name: str) -> bool | None:
    if name not in query:
        return None
    text = query[name].lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadRequest(f'{name}: Invalid value: "{text[:64]}": must be true or false')
