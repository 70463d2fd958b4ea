"""The kinds whose objects are stored, each once: what a controller goes over that looks after objects of every kind."""

from __future__ import annotations

from apiserver.api.kinds import KINDS, Kind

EVENT = KINDS["core", "Event"]
LEASE = KINDS["coordination", "Lease"]
POD = KINDS["core", "Pod"]

#: Packages whose kinds are other forms of what is stored under its own kind.
_OTHER_FORMS = ("v1alpha1", "events")


def stored_kinds() -> list[Kind]:
    """In the order of the table. Reviews and bindings are answered, never stored."""
    return [
        kind
        for (package, name), kind in KINDS.items()
        if package not in _OTHER_FORMS and name != "Binding" and not name.endswith("Review")
    ]
