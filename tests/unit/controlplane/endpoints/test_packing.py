"""Slices: at most 100 endpoints, nothing lost, nothing twice, and no slice touched that need not be."""

from __future__ import annotations

from itertools import islice
from random import Random

from controllers_world import seeds

from apiserver.api.core.references import ObjectReference
from apiserver.api.discovery import Endpoint, EndpointConditions, EndpointSlice
from apiserver.api.meta import ObjectMeta
from controlplane.controllers.endpoint_pods import Port
from controlplane.controllers.slice_packing import (
    ENDPOINTS_MAX,
    Packed,
    Plan,
    identity,
    names,
    pack,
    ports_in,
    slice_ports,
)

HTTP = (Port("http", "TCP", 80),)
OTHER = (Port("http", "TCP", 8080),)


def endpoint(uid: str, *, ready: bool = True, address: str = "10.0.0.1") -> Endpoint:
    return Endpoint(
        addresses=[address], conditions=EndpointConditions(ready=ready), target_ref=ObjectReference(kind="Pod", uid=uid)
    )


def endpoints(*uids: str) -> dict[str, Endpoint]:
    return {uid: endpoint(uid) for uid in uids}


def numbered(number: int, first: int = 0) -> dict[str, Endpoint]:
    return endpoints(*(f"uid-{each:04}" for each in range(first, first + number)))


class Shelf:
    """Slices as an API would hold them."""

    def __init__(self) -> None:
        self.slices: list[EndpointSlice] = []
        self.number = 0

    def apply(self, plan: Plan) -> Plan:
        gone = {each.metadata.name for each in plan.removed}
        kept = [self._slice(packed, packed.old.metadata.name) for packed in plan.kept if packed.old is not None]
        for packed in plan.made:
            self.number += 1
            kept.append(self._slice(packed, f"web-{self.number:03}"))
        assert not gone & {each.metadata.name for each in kept}
        self.slices = kept
        return plan

    @staticmethod
    def _slice(packed: Packed, name: str) -> EndpointSlice:
        return EndpointSlice(
            metadata=ObjectMeta(name=name), endpoints=list(packed.endpoints), ports=slice_ports(packed.ports)
        )

    def pack(self, wanted: dict[tuple[Port, ...], dict[str, Endpoint]]) -> Plan:
        return self.apply(pack(wanted, self.slices))

    def held(self) -> dict[tuple[Port, ...], list[str]]:
        found: dict[tuple[Port, ...], list[str]] = {}
        for each in self.slices:
            if each.endpoints:
                found.setdefault(ports_in(each), []).extend(map(identity, each.endpoints))
        return {ports: sorted(uids) for ports, uids in found.items()}


def changed(plan: Plan) -> int:
    return len(plan.made) + len(plan.removed) + sum(packed.changed for packed in plan.kept)


def test_without_endpoints_there_is_one_empty_slice() -> None:
    shelf = Shelf()
    shelf.pack({})
    assert [each.endpoints for each in shelf.slices] == [[]]
    assert changed(shelf.pack({})) == 0


def test_slices_hold_a_hundred() -> None:
    shelf = Shelf()
    shelf.pack({HTTP: numbered(250)})
    assert sorted(len(each.endpoints) for each in shelf.slices) == [50, 100, 100]


def test_one_that_changes_changes_one_slice() -> None:
    shelf = Shelf()
    shelf.pack({HTTP: numbered(250)})
    wanted = numbered(250) | {"uid-0150": endpoint("uid-0150", ready=False)}
    assert changed(shelf.pack({HTTP: wanted})) == 1


def test_a_new_one_goes_where_a_change_is_anyway() -> None:
    shelf = Shelf()
    shelf.pack({HTTP: numbered(150)})
    wanted = numbered(150) | endpoints("new")
    del wanted["uid-0003"]
    assert changed(shelf.pack({HTTP: wanted})) == 1


def test_a_new_one_goes_into_the_fullest_slice_with_room() -> None:
    shelf = Shelf()
    shelf.slices = [
        shelf._slice(Packed(HTTP, list(numbered(10).values())), "a"),
        shelf._slice(Packed(HTTP, list(numbered(99, 100).values())), "b"),
    ]
    plan = shelf.pack({HTTP: numbered(10) | numbered(99, 100) | endpoints("new")})
    assert [packed.old.metadata.name for packed in plan.kept if packed.changed and packed.old] == ["b"]


def test_ports_that_change_cost_one_write() -> None:
    shelf = Shelf()
    shelf.pack({HTTP: numbered(3)})
    plan = shelf.pack({OTHER: numbered(3)})
    assert (changed(plan), len(plan.made), len(plan.removed)) == (1, 0, 0)


def test_pods_whose_ports_differ_have_slices_of_their_own() -> None:
    shelf = Shelf()
    shelf.pack({HTTP: endpoints("a"), OTHER: endpoints("b")})
    assert shelf.held() == {HTTP: ["a"], OTHER: ["b"]}


def test_one_that_is_in_two_slices_stays_in_one() -> None:
    shelf = Shelf()
    twice = Packed(HTTP, list(endpoints("a", "b").values()))
    shelf.slices = [shelf._slice(twice, "one"), shelf._slice(twice, "two")]
    shelf.pack({HTTP: endpoints("a", "b")})
    assert shelf.held() == {HTTP: ["a", "b"]}


def test_names_are_the_same_every_time() -> None:
    first = list(islice(names("web", "uid", lambda name: False), 3))
    assert first == list(islice(names("web", "uid", lambda name: False), 3))
    assert len(set(first)) == 3
    assert next(names("web", "uid", {first[0]}.__contains__)) == first[1]
    assert next(names("web", "other", lambda name: False)) not in first
    assert len(next(names("w" * 253, "uid", lambda name: False))) == 253


@seeds(40)
def test_whatever_happens_slices_say_what_is_wanted(seed: int) -> None:
    random, shelf = Random(seed), Shelf()
    wanted: dict[tuple[Port, ...], dict[str, Endpoint]] = {}
    for step in range(30):
        for ports in (HTTP, OTHER):
            there = wanted.setdefault(ports, {})
            for uid in [uid for uid in there if random.random() < random.choice((0.0, 0.1, 1.0))]:
                del there[uid]
            for number in range(random.choice((0, 1, 5, 130))):
                there[f"{step}-{ports[0].port}-{number}"] = endpoint(f"{step}-{ports[0].port}-{number}")
            for uid in there:
                if random.random() < 0.02:
                    there[uid] = endpoint(uid, ready=random.random() < 0.5)
        there_are = {ports: found for ports, found in wanted.items() if found}
        shelf.pack(there_are)
        assert shelf.held() == {ports: sorted(found) for ports, found in there_are.items()}
        assert all(len(each.endpoints) <= ENDPOINTS_MAX for each in shelf.slices)
        assert changed(shelf.pack(there_are)) == 0
