"""Filters and scores of users, found by entry point.

A package declares them in its own pyproject.toml:

    [project.entry-points."kmini.scheduler.filters"]
    rack-power = "example.scheduling:RACK_POWER"      # a controlplane.scheduler.filters.filter.Filter

    [project.entry-points."kmini.scheduler.scores"]
    cool-nodes = "example.scheduling:COOL_NODES"      # a controlplane.scheduler.scores.score.Score

They are loaded when a profile is made. One that cannot be loaded, is no such row, or has a name that is taken is a
`PlugInError`: a scheduler that would decide otherwise than it was told does not start.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from .filters.filter import Filter
from .scores.score import Score

FILTERS_GROUP = "kmini.scheduler.filters"
SCORES_GROUP = "kmini.scheduler.scores"

Row = TypeVar("Row", Filter, Score)


class PlugInError(ValueError):
    """A plug-in of a user cannot be used; the message says which and why."""


def filters_of_users(ours: Iterable[Filter]) -> tuple[Filter, ...]:
    """In the order of their names. PlugInError as above."""
    return _rows(FILTERS_GROUP, Filter, ours)


def scores_of_users(ours: Iterable[Score]) -> tuple[Score, ...]:
    """In the order of their names. PlugInError as above."""
    return _rows(SCORES_GROUP, Score, ours)


def _rows(group: str, kind: type[Row], ours: Iterable[Row]) -> tuple[Row, ...]:
    taken = {row.name: "kmini itself" for row in ours}
    found: dict[str, Row] = {}
    for point in sorted(entry_points(group=group), key=lambda each: (each.name, each.value)):
        row = _loaded(point, kind)
        if row.name in taken:
            raise PlugInError(f'{_told(point)} has the name "{row.name}", which {taken[row.name]} has: give it another')
        taken[row.name] = _told(point)
        found[row.name] = row
    return tuple(found[name] for name in sorted(found))


def _loaded(point: EntryPoint, kind: type[Row]) -> Row:
    try:
        row = point.load()
    except Exception as error:
        raise PlugInError(f"{_told(point)} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(row, kind):
        raise PlugInError(f"{_told(point)} is a {type(row).__name__}, not a {kind.__module__}.{kind.__name__}")
    return row


def _told(point: EntryPoint) -> str:
    return f"plug-in {point.name} ({point.value}) of {point.group}"
