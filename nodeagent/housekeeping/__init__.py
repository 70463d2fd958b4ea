"""What a node throws away by itself: images that nobody uses, when the disk fills up, and what was left by those who
were killed in the middle of something.

Nothing here is in a hurry, and nothing here takes what may be in use: a thing goes only when it was seen to be nobody's
for a while, by a clock that does not jump.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from nodeagent.runtime.cri import CriRuntime

from .images import ImageCollector, disk_of
from .leftovers import Leftovers, Places


def housekeeping(runtime: CriRuntime) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """Images of a containerd that is not ours are somebody else's, too."""
    settings = runtime.settings
    places = Places(logs=settings.logs, leases=settings.leases, group=settings.cgroup_parent)
    works: list[Callable[[], Coroutine[Any, Any, None]]] = [Leftovers(runtime.list_sandboxes, places).run]
    if settings.layers is not None:
        works.append(ImageCollector(runtime, partial(disk_of, settings.layers)).run)
    return works
