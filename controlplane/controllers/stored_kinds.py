"""The kinds whose objects are stored, each once: what a controller goes over that looks after objects of every kind."""

from __future__ import annotations

from apiserver.api.kinds import KINDS, Kind

EVENT = KINDS["core", "Event"]
LEASE = KINDS["coordination", "Lease"]
POD = KINDS["core", "Pod"]

#: Packages whose kinds are other forms of what is stored under its own kind, or are made when they are asked for.
_NOT_STORED = ("v1alpha1", "events", "metrics")


def stored_kinds() -> list[Kind]:
    """In the order of the table. Reviews and bindings are answered, never stored."""
    return [
        kind
        for (package, name), kind in KINDS.items()
        if package not in _NOT_STORED and name != "Binding" and not name.endswith("Review")
    ]
