"""RollingUpdate: new pods come and old ones go, a few at a time. Sizes only: no I/O.

What must hold with every step: never more than replicas + maxSurge pods, and never by our doing fewer than
replicas - maxUnavailable available.
"""

from __future__ import annotations

from apiserver.api.apps import ReplicaSet

from .sizes import bounds_of
from .view import View, active, available, pods_max, size, unready

#: Name of a ReplicaSet → the size it is to have.
Sizes = dict[str, int]


def next_sizes(view: View) -> Sizes:
    """One step: first the new ReplicaSet grows as far as it may, only then do old ones shrink. Empty: nothing to do."""
    new = view.new
    if new is not None:
        wanted = size_of_new(view)
        if wanted != size(new):
            return {new.metadata.name: wanted}
    return _shrink(view)


def size_of_new(view: View) -> int:
    """What the new ReplicaSet may have now, also when it does not exist yet."""
    present = 0 if view.new is None else size(view.new)
    if present >= view.replicas:
        return view.replicas
    return min(view.replicas, max(present, room_beside(view, view.new)))


def room_beside(view: View, grows: ReplicaSet | None) -> int:
    """The size that one ReplicaSet may have while the others stay as they are; 0 when their pods cannot be counted."""
    total = view.replicas + bounds_of(view.deployment).surge
    for other in view.others(grows):
        pods = pods_max(other)
        if pods is None:
            return 0
        total -= pods
    return max(0, total)


def _shrink(view: View) -> Sizes:
    """Old pods that are not ready go first: they are of no use, and hold up the others."""
    old = active(view.old)
    sizes = {each.metadata.name: size(each) for each in old}
    before = dict(sizes)
    least = view.replicas - bounds_of(view.deployment).unavailable
    waiting = 0 if view.new is None else size(view.new) - available(view.new)
    spare = sum(size(each) for each in view.all) - least - waiting
    if spare <= 0:
        return {}
    for each in old:
        given = min(spare, unready(each))
        sizes[each.metadata.name] -= given
        spare -= given
    spare = sum(available(each) for each in view.all) - least
    for each in old:
        # one whose state is not known counts as unavailable above, so it must not shrink for that
        given = max(0, min(spare, sizes[each.metadata.name])) if pods_max(each) is not None else 0
        sizes[each.metadata.name] -= given
        spare -= given
    return {name: number for name, number in sizes.items() if number != before[name]}
