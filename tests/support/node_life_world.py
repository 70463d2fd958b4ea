"""What must hold at every write while nodes come and go: laws for worlds of controllers, and words for their tests."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import pairwise
from typing import Any

from controllers_world import World
from controllers_world_objects import pod
from fake_api import CONTROLLERS

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node, Taint
from apiserver.api.core.pod import Pod
from apiserver.api.meta import TopObject

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
LIFECYCLE = (NOT_READY, UNREACHABLE)


def tolerating(seconds: int | None, *keys: str) -> list[dict[str, Any]]:
    """Tolerations as the API's own admission adds them."""
    some = {} if seconds is None else {"tolerationSeconds": seconds}
    return [{"key": key, "operator": "Exists", "effect": "NoExecute", **some} for key in keys or LIFECYCLE]


def placed(name: str, node: str, *, seconds: int | None = 300, **spec: Any) -> Pod:
    """A pod on a node that stays for `seconds` once the node is lost; for ever with None."""
    return pod(name, node_name=node, tolerations=tolerating(seconds), **spec)


def ready_of(world: World, name: str) -> str:
    return ready(found(world, name))


def ready(obj: Node | Pod) -> str:
    return next((each.status for each in obj.status.conditions if each.type == "Ready"), "")


def found(world: World, name: str) -> Node:
    node = world.api.get(Node, name)
    assert node is not None
    return node


def taints_of(world: World, name: str) -> set[tuple[str, str]]:
    return {(each.key.removeprefix("node.kubernetes.io/"), each.effect) for each in found(world, name).spec.taints}


def pods_left(world: World) -> set[str]:
    """Names of pods that nobody has deleted."""
    return {each.metadata.name for each in world.api.objects(Pod) if each.metadata.deletion_timestamp is None}


def events_of(world: World, name: str) -> list[tuple[str, str]]:
    from apiserver.api.core.event import Event

    return [(each.reason, each.message) for each in world.api.objects(Event) if each.involved_object.name == name]


class Laws:
    """Watches all writes of a world. `slack_s`: how long a request may be under way once it was decided."""

    def __init__(self, world: World, *, slack_s: float = 0.5) -> None:
        self.given_up: dict[str, list[tuple[float, int]]] = defaultdict(list)  # zone -> moments, with the restarts
        self.evicted: list[str] = []
        self._world = world
        self._slack_s = slack_s
        self._grace_s = world.options.node_grace_s
        self._renewed: dict[str, list[float]] = defaultdict(list)
        world.check(self.see)

    def see(self, verb: str, old: Any, new: Any) -> None:
        some: TopObject = new if new is not None else old
        if isinstance(some, Lease):
            self._renewed[some.metadata.name].append(self._now())
        by_controllers = self._world.api.log[-1].by == CONTROLLERS
        if by_controllers and isinstance(some, Node) and old is not None and new is not None:
            self._node_changed(old, new)
        elif by_controllers and isinstance(some, Pod) and old is not None:
            self._pod_changed(old, new)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def heard_of(self, node: str, *, within_s: float) -> bool:
        """Whether the node's Lease was renewed in that time, and long enough ago for anybody to know."""
        now = self._now()
        return any(now - within_s < each <= now - self._slack_s for each in self._renewed.get(node, ()))

    # --- nodes ----------------------------------------------------------------------------------------

    def _node_changed(self, old: Node, new: Node) -> None:
        name = new.metadata.name
        if ready(new) == "Unknown" and ready(old) != "Unknown":
            assert not self.heard_of(name, within_s=self._grace_s), f"{name} was given up, and had spoken"
        assert not (ready(new) == "True" and ready(old) != "True"), "only an agent may say that its node is ready"
        foreign = [each for each in old.spec.taints if not each.key.startswith("node.kubernetes.io/")]
        assert [each for each in new.spec.taints if not each.key.startswith("node.kubernetes.io/")] == foreign
        if lifecycle(new) and not lifecycle(old):
            self._begins_to_drive_away(new)

    def _begins_to_drive_away(self, node: Node) -> None:
        name = node.metadata.name
        if ready(node) == "Unknown":
            assert not self.heard_of(name, within_s=self._grace_s), f"pods are driven from {name}, which had spoken"
        since = self._now() - self._grace_s - self._slack_s
        alive = [moments for moments in self._renewed.values() if moments[-1] > since]
        assert alive, "pods are driven away while no node at all is heard of"
        zone = node.metadata.labels.get("topology.kubernetes.io/zone", "")
        self.given_up[zone].append((self._now(), self._world.restarts))

    def check_rate(self, per_s: float) -> None:
        """No zone was given up faster than that: one at once, then at the rate; a new leader begins anew."""
        for zone, moments in self.given_up.items():
            for (one, term), (other, next_term) in pairwise(moments):
                assert term != next_term or other - one >= 1 / per_s - self._slack_s, f"zone {zone!r}: {moments}"

    # --- pods -----------------------------------------------------------------------------------------

    def _pod_changed(self, old: Pod, new: Pod | None) -> None:
        ends = new is None or new.metadata.deletion_timestamp is not None
        if not ends or old.metadata.deletion_timestamp is not None:
            return
        self.evicted.append(old.metadata.name)
        node = self._world.api.get(Node, old.spec.node_name)
        if node is None or [each for each in node.spec.taints if each.effect == "NoExecute" and not ours(each)]:
            return
        name = node.metadata.name
        if ready(node) != "False":
            assert not self.heard_of(name, within_s=self._grace_s), f"pod {old.metadata.name}: {name} had spoken"
        marked = [each for each in old.status.conditions if each.type == "DisruptionTarget"]
        assert marked, f"pod {old.metadata.name} was not told why"


def ours(taint: Taint) -> bool:
    return taint.key in LIFECYCLE


def lifecycle(node: Node) -> bool:
    return any(ours(each) and each.effect == "NoExecute" for each in node.spec.taints)
