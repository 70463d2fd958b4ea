"""Parameters of the operations, each made once and shared."""

from __future__ import annotations

from typing import Any, NamedTuple


class Parameter(NamedTuple):
    """`where` is `path` or `query`; `schema` has the keys both versions of OpenAPI share."""

    name: str
    where: str
    description: str
    schema: dict[str, Any]


def _query(name: str, type_: str, description: str, **schema: Any) -> Parameter:
    return Parameter(name, "query", description, {"type": type_, **schema})


NAME = Parameter("name", "path", "Name of the object.", {"type": "string"})
NAMESPACE = Parameter("namespace", "path", "Namespace of the objects.", {"type": "string"})
PATH = Parameter("path", "path", "Path to pass on.", {"type": "string"})

PRETTY = _query("pretty", "string", "`true` indents the answer for people.")
DRY_RUN = _query("dryRun", "string", "`All` runs every check and changes nothing.", enum=["All"])
FIELD_MANAGER = _query("fieldManager", "string", "Name of whoever makes the change.", maxLength=128)
FIELD_VALIDATION = _query(
    "fieldValidation",
    "string",
    "What becomes of unknown and repeated fields: Ignore drops them, Warn says so, Strict refuses.",
    enum=["Ignore", "Strict", "Warn"],
)
RESOURCE_VERSION = _query("resourceVersion", "string", "State of the store to read, or to watch from.")
GRACE_PERIOD = _query("gracePeriodSeconds", "integer", "Seconds the object has to end by itself.", minimum=0)
ORPHAN_DEPENDENTS = _query("orphanDependents", "boolean", "Older form of propagationPolicy.")
PROPAGATION_POLICY = _query(
    "propagationPolicy", "string", "What happens to dependents.", enum=["Background", "Foreground", "Orphan"]
)
LIMIT = _query("limit", "integer", "How many objects a page has at most; the rest follows with continue.", minimum=0)
CONTINUE = _query("continue", "string", "Token of the next page, from the page before.")

SELECTORS = (
    _query("fieldSelector", "string", "Only objects whose fields have these values."),
    _query("labelSelector", "string", "Only objects whose labels match."),
)
READ_LIST = (
    *SELECTORS,
    LIMIT,
    CONTINUE,
    RESOURCE_VERSION,
    _query(
        "resourceVersionMatch",
        "string",
        "How resourceVersion is meant.",
        enum=["Exact", "NotOlderThan"],
    ),
    _query("timeoutSeconds", "integer", "Seconds after which a watch ends.", minimum=0),
)
WATCH = (
    _query("watch", "boolean", "Stream changes instead of answering with a list."),
    _query("allowWatchBookmarks", "boolean", "Send bookmarks in between, to resume a watch from."),
    _query("sendInitialEvents", "boolean", "Begin a watch with the objects there are."),
)
CREATE = (DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION)
PATCH = (
    *CREATE,
    _query("force", "boolean", "Only for server-side apply, which is refused."),
)
DELETE = (DRY_RUN, GRACE_PERIOD, ORPHAN_DEPENDENTS, PROPAGATION_POLICY)
DELETE_COLLECTION = (*DELETE, *READ_LIST)

#: Of the subresources that are streams, by name.
STREAMS: dict[str, tuple[Parameter, ...]] = {
    "log": (
        _query("container", "string", "Container whose log is read."),
        _query("follow", "boolean", "Go on as the log grows."),
        _query("previous", "boolean", "The log of the container before the last restart."),
        _query("sinceSeconds", "integer", "Only what is younger than this.", minimum=1),
        _query("sinceTime", "string", "Only what is younger than this moment.", format="date-time"),
        _query("timestamps", "boolean", "Put the time before each line."),
        _query("tailLines", "integer", "Only this many lines from the end.", minimum=0),
        _query("limitBytes", "integer", "Stop after this many bytes.", minimum=1),
    ),
    "exec": (
        _query("command", "string", "Command to run, one parameter a word."),
        _query("container", "string", "Container to run it in."),
        *(_query(each, "boolean", f"Connect {each}.") for each in ("stdin", "stdout", "stderr", "tty")),
    ),
    "attach": (
        _query("container", "string", "Container to attach to."),
        *(_query(each, "boolean", f"Connect {each}.") for each in ("stdin", "stdout", "stderr", "tty")),
    ),
    "portforward": (_query("ports", "integer", "Ports to forward."),),
    "proxy": (_query("path", "string", "Path to pass on."),),
}
