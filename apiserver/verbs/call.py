"""One request as the verbs see it, and its options, checked.

Options are Kubernetes' query parameters; a value that has no meaning is a BadRequest that names the parameter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from apiserver.api.errors import BadRequest
from apiserver.api.fields import Causes
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
        """Checked by `check_options` before anything is done."""
        return self.query.get("dryRun", "") == "All"

    @property
    def strictness(self) -> str:
        """fieldValidation. Other versions than the stored one refuse unknown fields always."""
        return "Strict" if self.resource.conversion is not None else self.query.get("fieldValidation", "") or "Warn"

    def check_options(self) -> None:
        """Options of every write. Raises Invalid."""
        query, causes = self.query, Causes()
        dry_run, validation = query.get("dryRun", ""), query.get("fieldValidation", "")
        if dry_run not in ("", "All"):
            causes.not_supported("dryRun", dry_run, ("All",))
        manager = query.get("fieldManager", "")
        if len(manager) > FIELD_MANAGER_CHARACTERS_MAX:
            causes.too_long("fieldManager", FIELD_MANAGER_CHARACTERS_MAX)
        if not manager.isprintable():
            causes.invalid("fieldManager", manager, "should only contain printable characters")
        if validation not in ("", "Ignore", "Strict", "Warn"):
            causes.not_supported("fieldValidation", validation, ("Ignore", "Strict", "Warn"))
        refuse_options(causes, _OPTIONS.get(self.verb, "CreateOptions"))


_OPTIONS = {"update": "UpdateOptions", "patch": "PatchOptions", "delete": "DeleteOptions"}


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
        """Raises BadRequest, Invalid naming the parameter."""
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
        if self.continue_ and self.version:
            raise BadRequest("specifying resource version is not allowed when using continue")
        causes = Causes()
        if self.watch:
            self._check_watch(causes)
        else:
            self._check_list(causes)
        refuse_options(causes, "ListOptions")

    def _check_list(self, causes: Causes) -> None:
        where = "resourceVersionMatch"
        if self.match:
            if self.version is None:
                causes.forbidden(where, f"{where} is forbidden unless resourceVersion is provided")
            if self.continue_:
                causes.forbidden(where, f"{where} is forbidden for continue")
            if self.match not in (EXACT, NOT_OLDER_THAN):
                causes.not_supported(where, self.match, ("", EXACT, NOT_OLDER_THAN))
            if self.match == EXACT and self.version == 0:
                causes.forbidden(where, f'{where} "exact" is forbidden for resourceVersion "0"')
        if self.initial_events is not None:
            causes.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")

    def _check_watch(self, causes: Causes) -> None:
        where = "resourceVersionMatch"
        if self.initial_events is not None and self.match != NOT_OLDER_THAN:
            causes.forbidden(where, f"sendInitialEvents requires setting {where} to {NOT_OLDER_THAN}")
        if self.initial_events and not self.bookmarks:
            causes.forbidden("sendInitialEvents", "sendInitialEvents requires allowWatchBookmarks")
        if self.match:
            if self.initial_events is None:
                causes.forbidden(where, f"{where} is forbidden for watch unless sendInitialEvents is provided")
            if self.match != NOT_OLDER_THAN:
                causes.not_supported(where, self.match, (NOT_OLDER_THAN,))
        if self.continue_:
            causes.forbidden("continue", "continue is forbidden for watch")


def refuse_options(causes: Causes, options: str) -> None:
    """Options are refused as an object of their own kind would be. Raises Invalid."""
    if causes:
        raise causes.error(kind=options, group="meta.k8s.io", name="")


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
