"""What the columns of several kinds share: names, ages, lists that are cut short, labels.

A cell is a pure function of a decoded object and the wall-clock time in seconds; it never fails on an object that
lacks parts, because half-made objects are stored and listed too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apiserver.api.meta import LabelSelector
from apiserver.api.selectors import from_label_selector
from apiserver.api.times import human_age, parse_time
from apiserver.registry.resource import Column

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"


def seconds_of(time: str | None) -> float | None:
    """The moment in seconds since 1970; None for no time and for text that is none."""
    if not time:
        return None
    try:
        return parse_time(time).timestamp()
    except ValueError:
        return None


def since(time: str | None, now_s: float) -> str:
    """How long ago that was, as people say it: `5m12s`."""
    moment = seconds_of(time)
    return UNKNOWN if moment is None else human_age(now_s - moment)


def age(obj: Any, now_s: float) -> str:
    return since(obj.metadata.creation_timestamp, now_s)


def name(obj: Any, now_s: float) -> str:
    return str(obj.metadata.name)


NAME = Column("Name", name, "Name of the object.", format="name")
AGE = Column("Age", age, "Time since the object was created.")


def created_at(obj: Any, now_s: float) -> str | None:
    """Not an age: kinds without a printer of their own show the moment itself."""
    return obj.metadata.creation_timestamp or None


CREATED_AT = Column("Created At", created_at, "When the object was created.", type="date")


def cut_short(parts: Sequence[str], *, shown_max: int = 3) -> str:
    """`a,b,c + 2 more...`"""
    text = ",".join(parts[:shown_max])
    left = len(parts) - shown_max
    return f"{text} + {left} more..." if left > 0 else text


def labels(pairs: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, sorted, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted((pairs or {}).items())) or NONE


def selector(chosen: LabelSelector | None) -> str:
    """As `kubectl get -l` takes it; "" selects everything, and so does an invalid one's `<invalid>` nothing."""
    if chosen is None:
        return ""
    try:
        return str(from_label_selector(chosen))
    except ValueError:
        return "<invalid>"


def container_names(containers: Iterable[Any]) -> str:
    return ",".join(each.name for each in containers)


def container_images(containers: Iterable[Any]) -> str:
    return ",".join(each.image for each in containers)


def condition(conditions: Iterable[Any], type_: str) -> Any | None:
    """The condition of that type."""
    return next((each for each in conditions if each.type == type_), None)


def is_true(conditions: Iterable[Any], type_: str) -> bool:
    found = condition(conditions, type_)
    return found is not None and found.status == "True"
