"""Who gets a place, and who makes room."""

from __future__ import annotations

import random

from apiserver.listening.places import Places


def places(most: int, strangers_most: int, busy: set[str] | None = None) -> Places[str]:
    return Places(most, strangers_most, lambda guest: guest not in (busy or set()))


def test_there_is_room() -> None:
    some = places(3, 2)
    assert [some.enter("a", known=True), some.enter("b", known=False), some.enter("c", known=False)] == [None] * 3
    assert sorted(some) == ["a", "b", "c"]


def test_of_strangers_the_one_that_came_first_makes_room() -> None:
    some = places(10, 2)
    assert [some.enter(each, known=False) for each in "abcd"] == [None, None, "a", "b"]
    assert list(some) == ["c", "d"]


def test_who_is_known_always_gets_in_beside_strangers() -> None:
    some = places(10, 4)
    for number in range(100):
        some.enter(f"stranger {number}", known=False)
    assert [some.enter(f"known {number}", known=True) for number in range(6)] == [None] * 6
    assert len(some) == 10


def test_and_in_their_place_when_all_are_taken() -> None:
    some = places(3, 2)
    for each in "ab":
        some.enter(each, known=False)
    assert [some.enter(each, known=True) for each in "cdef"] == [None, "a", "b", "f"]
    assert sorted(some) == ["c", "d", "e"]


def test_a_stranger_that_is_served_stays() -> None:
    busy = {"a", "b"}
    some = places(10, 2, busy)
    assert [some.enter(each, known=False) for each in "abc"] == [None, None, "c"]
    busy.discard("b")
    assert some.enter("d", known=False) == "b"
    assert list(some) == ["a", "d"]


def test_who_leaves_makes_room() -> None:
    some = places(1, 1)
    some.enter("a", known=True)
    some.leave("a")
    some.leave("a")
    assert some.enter("b", known=False) is None
    some.leave("b")
    assert len(some) == 0


def test_there_are_never_more_and_strangers_never_put_out_who_is_known() -> None:
    chance = random.Random(0)
    some = places(20, 5)
    inside: set[str] = set()
    for number in range(5000):
        guest = f"{chance.choice(['known', 'stranger'])} {number}"
        goes = some.enter(guest, known=guest.startswith("known"))
        inside.add(guest)
        inside.discard(goes or "")
        assert goes in (None, guest) or goes.startswith("stranger")
        if chance.random() < 0.3:
            leaves = chance.choice(sorted(inside | {guest}))
            some.leave(leaves)
            inside.discard(leaves)
        assert set(some) == inside
        assert len(inside) <= 20
        assert sum(each.startswith("stranger") for each in inside) <= 5
