"""A daemon's memory: the garbage collector is silent while it starts, and then has nothing old left to look through.

Objects of the API are trees of structs that are not tracked, so cycles are few: what the start built is frozen, the
youngest generation may grow, and the oldest is collected seldom. A full collection walks only what came since.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # of malloc.h

#: Allocations that a young collection waits for; young ones per middle one; middle ones per full one.
THRESHOLDS = (20_000, 20, 50)


def starting() -> None:
    """Call before the heavy imports: a start makes a lot and drops little."""
    gc.disable()


def one_arena() -> None:
    """Call before there are threads: each would get a heap of its own, of which most is never used. For a process whose
    threads wait for files and programs; does nothing where the C library knows no such thing."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def started() -> None:
    """Call once everything that lasts is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
