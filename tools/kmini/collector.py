"""The garbage collector of a server: silent while it starts, then with nothing old left to look through.

Objects of the API are trees of structs that are not tracked, so cycles are few: what the start built is frozen, the
youngest generation may grow, and the oldest is collected seldom. A full collection walks only what came since.
"""

from __future__ import annotations

import gc

#: Allocations that a young collection waits for; young ones per middle one; middle ones per full one.
THRESHOLDS = (20_000, 20, 50)


def starting() -> None:
    """Call before the heavy imports: a start makes a lot and drops little."""
    gc.disable()


def started() -> None:
    """Call once everything that lasts is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
