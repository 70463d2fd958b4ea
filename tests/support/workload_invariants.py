"""What must hold at every write while Deployments and ReplicaSets are at work, whatever goes wrong.

    Rules(world, "web").watch()

The rules look at the API's own truth right after each write. Where a rule has a bound that a user changes, the bound
counts that the controllers may not have seen the change yet: any of those since the generation they have seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from controllers_world import World
from virtual_time import now_s

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.api.meta import TopObject
from apiserver.api.times import parse_time
from controlplane.controllers.claims import controller_of
from controlplane.controllers.deployment.revisions import revision_of
from controlplane.controllers.deployment.sizes import bounds_of
from controlplane.controllers.deployment.template_hash import HASH_LABEL, same_template

CONTROLLERS = "controllers"


def counts(pod: Pod) -> bool:
    """Neither at its end nor about to go."""
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in ("Succeeded", "Failed")


def is_available(pod: Pod, min_ready_s: int) -> bool:
    if not counts(pod):
        return False
    for condition in pod.status.conditions:
        if condition.type == "Ready" and condition.status == "True":
            since = parse_time(condition.last_transition_time or "").timestamp()
            return now_s() - since >= min_ready_s
    return False


class Span:
    """The bounds of one object: what each generation since the one that was seen allows."""

    def __init__(self, bound: Callable[[Any], int]) -> None:
        self._bound = bound
        self._of: dict[int, int] = {}

    def see(self, obj: Any) -> None:
        self._of[obj.metadata.generation] = self._bound(obj)
        for generation in [each for each in self._of if each < obj.status.observed_generation]:
            del self._of[generation]

    @property
    def most(self) -> int:
        return max(self._of.values(), default=0)

    @property
    def newest(self) -> int:
        return self._of[max(self._of)] if self._of else 0

    @property
    def least(self) -> int:
        return min(self._of.values(), default=0)


class Ceiling:
    """At most `bound`. What is above it because the bound has come down may stay, and only go down from there."""

    def __init__(self) -> None:
        self._allowed = 0

    def check(self, bound: int, count: int, what: str, *, granted: int = 0) -> None:
        """`granted`: so many were allowed already, and are yet to come."""
        self._allowed = max(bound, min(self._allowed, max(count, granted)))
        assert count <= self._allowed, f"{what}: {count}, and no more than {self._allowed} are allowed"


class Rules:
    """Of the Deployment `name` and its ReplicaSets, and of any ReplicaSet without one.

    `availability`: no pod goes by itself or by a user's hand, so that what is missing is our doing.
    `changing_hands`: pods are taken over and let go, so that their numbers say little; they still have one controller.
    """

    def __init__(
        self,
        world: World,
        name: str = "",
        *,
        availability: bool = True,
        surge: bool = True,
        changing_hands: bool = False,
    ) -> None:
        self._api = world.api
        self._name = name
        self._availability = availability
        self._surge = surge
        self._changing_hands = changing_hands
        self.writes = 0
        self._surges = Span(lambda found: (found.spec.replicas or 0) + bounds_of(found).surge)
        self._leasts = Span(lambda found: (found.spec.replicas or 0) - bounds_of(found).unavailable)
        self._sizes: dict[str, Span] = {}
        self._pods: dict[str, Pod] = {}
        self._total = Ceiling()
        self._granted = Ceiling()
        self._each: dict[str, Ceiling] = {}
        self._available_before = 0
        self._min_ready_s = 0
        self._recreates = False
        self._owned_before: Counter[str] = Counter()
        self.hashes: dict[str, Any] = {}

    def watch(self) -> Rules:
        for type_ in (Deployment, ReplicaSet, Pod):
            for obj in self._api.objects(type_):
                self._note(None, obj)
        self._api.on_write.append(self)
        return self

    def __call__(self, verb: str, old: TopObject | None, new: TopObject | None) -> None:
        self._note(old, new)
        obj = new if new is not None else old
        self.writes += 1
        if not self._changing_hands:
            self._check_numbers()
        if isinstance(obj, ReplicaSet):
            self._check_revisions()
            if verb == "create" and isinstance(new, ReplicaSet) and controller_of(new):
                self._check_template(new)
        if isinstance(new, Pod) and verb == "create" and self._recreates and self._availability:
            self._check_alone(new)

    def _note(self, old: TopObject | None, new: TopObject | None) -> None:
        if isinstance(new, Deployment) and new.metadata.name == self._name:
            self._surges.see(new)
            self._leasts.see(new)
            self._min_ready_s = new.spec.min_ready_seconds
            self._recreates = new.spec.strategy.type == "Recreate"
        elif isinstance(new, ReplicaSet):
            span = self._sizes.setdefault(new.metadata.uid, Span(lambda found: found.spec.replicas or 0))
            span.see(new)
        elif isinstance(new, Pod):
            self._pods[new.metadata.uid] = new
            controllers = [owner for owner in new.metadata.owner_references if owner.controller]
            assert len(controllers) <= 1, f"{new.metadata.name} has two controllers"
        elif isinstance(old, Pod):
            self._pods.pop(old.metadata.uid, None)
        elif isinstance(old, ReplicaSet):
            self._sizes.pop(old.metadata.uid, None)

    # --- rules ----------------------------------------------------------------------------------------

    def _check_numbers(self) -> None:
        owned = Counter(_owner(pod) for pod in self._pods.values() if counts(pod))
        ours = self._api.log[-1].by == CONTROLLERS
        for uid, span in self._sizes.items():
            ceiling = self._each.setdefault(uid, Ceiling())
            ceiling.check(span.most, owned[uid], f"pods of ReplicaSet {uid}")
            if self._availability and ours and owned[uid] < self._owned_before[uid]:
                assert owned[uid] >= span.least, f"ReplicaSet {uid} has {owned[uid]} pods left of {span.least}"
        self._owned_before = owned
        if not self._name:
            return
        sizes = sum(span.newest for span in self._sizes.values())
        self._granted.check(self._surges.most, sizes, "sizes of the ReplicaSets")
        if self._surge:
            granted = sum(span.most for span in self._sizes.values())
            self._total.check(self._surges.most, sum(owned.values()), "pods of the Deployment", granted=granted)
        available = sum(is_available(pod, self._min_ready_s) for pod in self._pods.values())
        if self._availability and not self._recreates and ours and available < self._available_before:
            least = min(self._leasts.least, sum(span.least for span in self._sizes.values()))
            assert available >= least, f"{available} are available, and {least} must be"
        self._available_before = available

    def _check_alone(self, made: Pod) -> None:
        """Recreate: no pod of another template is there, not even one that is about to go."""
        for pod in self._pods.values():
            other = _owner(pod) != _owner(made) and pod.status.phase not in ("Succeeded", "Failed")
            assert not other, f"{made.metadata.name} is made beside {pod.metadata.name}"

    def _check_revisions(self) -> None:
        found = Counter(
            revision_of(each) for each in self._api.objects(ReplicaSet) if controller_of(each) and revision_of(each)
        )
        double = [revision for revision, number in found.items() if number > 1]
        assert not double, f"revisions that two ReplicaSets have: {double}"

    def _check_template(self, made: ReplicaSet) -> None:
        for other in self._api.objects(ReplicaSet):
            if other.metadata.uid == made.metadata.uid or _owner(other) != _owner(made):
                continue
            same = same_template(other.spec.template, made.spec.template)
            assert not same, f"{made.metadata.name} has the template of {other.metadata.name}"
        label = made.metadata.labels.get(HASH_LABEL, "")
        known = self.hashes.setdefault(label, made.spec.template)
        assert same_template(known, made.spec.template), f"two templates have the hash {label}"


def _owner(obj: TopObject) -> str:
    owner = controller_of(obj)
    return "" if owner is None else owner.uid
