"""Virtual connections keep the Wire's contract, and break it only where a fault says so."""

from __future__ import annotations

import random
from typing import Any

from raftstore.raft.engine import Member, Message
from raftstore.sim.network import NetworkOptions, VirtualNetwork, VirtualWire
from raftstore.sim.runtime import DiskSpeed, VirtualClock, VirtualRuntime
from raftstore.sim.schedule import Schedule


class Listener:
    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def connected(self, peer: int, kinds: frozenset[str]) -> None:
        self.log.append(("up", peer))

    def disconnected(self, peer: int) -> None:
        self.log.append(("down", peer))

    def received(self, peer: int, message: Message) -> None:
        self.log.append(("got", peer, message["number"]))

    def drained(self, peer: int) -> None:
        self.log.append(("drained", peer))

    def numbers(self) -> list[int]:
        return [entry[2] for entry in self.log if entry[0] == "got"]


class World:
    def __init__(self, count: int = 3, seed: int = 1, **options: Any) -> None:
        self.schedule = Schedule()
        self.network = VirtualNetwork(self.schedule, random.Random(seed), NetworkOptions(**options))
        self.members = [Member(number, f"m{number}", f"h{number}:1") for number in range(1, count + 1)]
        self.listeners: dict[int, Listener] = {}
        self.wires: dict[int, VirtualWire] = {}
        for member in self.members:
            self.start(member.id)

    def start(self, member_id: int) -> None:
        runtime = VirtualRuntime(
            self.schedule,
            rng=random.Random(member_id),
            clock=VirtualClock(self.schedule),
            disk_speed=DiskSpeed(random.Random(0)),
            on_error=self._fail,
            on_killed=lambda: None,
        )
        wire = self.wires[member_id] = self.network.wire(member_id, runtime)
        listener = self.listeners[member_id] = Listener()
        wire.set_members(self.members)
        wire.start(listener)

    def _fail(self, context: str, error: BaseException) -> None:
        raise AssertionError(context) from error

    def run(self, seconds: float) -> None:
        self.schedule.run(until_s=self.schedule.now_s + seconds)

    def send(self, source: int, target: int, number: int, **more: Any) -> bool:
        return self.wires[source].send(target, {"type": "test", "number": number, **more})


def test_members_connect_and_messages_arrive_in_order() -> None:
    world = World(tail_rate=0.3)
    world.run(2)
    for me, listener in world.listeners.items():
        assert sorted(listener.log) == [("up", member.id) for member in world.members if member.id != me]
    for number in range(100):
        assert world.send(1, 2, number)
    world.run(2)
    assert world.listeners[2].numbers() == list(range(100))


def test_nothing_is_shared_by_reference() -> None:
    world = World(2)
    world.run(2)
    entries = [1, 2]
    world.send(1, 2, 0, entries=entries)
    entries.append(3)
    received: list[Message] = []
    world.listeners[2].received = lambda peer, message: received.append(message)  # type: ignore[method-assign]
    world.run(1)
    assert received[0]["entries"] == [1, 2]


def test_a_one_way_stall_delays_one_direction_and_loses_nothing() -> None:
    world = World(2)
    world.run(2)
    world.network.stall(1, 2, 2.0)
    for number in range(3):
        world.send(1, 2, number)
    world.send(2, 1, 7)
    world.run(1.0)
    assert world.listeners[1].numbers() == [7]
    assert world.listeners[2].numbers() == []
    world.run(1.5)
    assert world.listeners[2].numbers() == [0, 1, 2]


def test_a_long_stall_ends_the_connection_and_it_comes_back() -> None:
    world = World(2)
    world.run(2)
    world.network.stall(1, 2, 5.0)
    world.send(1, 2, 0)
    world.run(4.5)
    assert ("down", 1) in world.listeners[2].log
    assert not world.send(1, 2, 1)
    world.run(3)
    assert world.send(1, 2, 2)
    world.run(1)
    assert world.listeners[2].numbers() == [2]


def test_a_broken_connection_loses_what_is_in_flight_and_no_message_crosses_over_to_the_next() -> None:
    lost = 0
    for seed in range(30):
        world = World(2, seed=seed, latency_s=0.05)
        world.run(2)
        for number in range(10):
            world.send(1, 2, number)
        world.run(0.03)
        world.network.break_connection(1, 2)
        world.run(3)
        numbers = world.listeners[2].numbers()
        assert numbers == list(range(len(numbers)))
        lost += 10 - len(numbers)
        world.send(1, 2, 99)
        world.run(1)
        assert world.listeners[2].numbers()[-1] == 99
    assert lost > 0


def test_a_full_buffer_refuses_and_says_when_it_is_drained() -> None:
    world = World(2, buffer_bytes_max=1000)
    world.run(2)
    world.wires[2].runtime.pause()
    sent = 0
    while world.send(1, 2, sent, filler=b"x" * 100):
        sent += 1
    assert 5 < sent < 15
    world.run(1)
    assert ("drained", 2) not in world.listeners[1].log
    world.wires[2].runtime.resume()
    world.run(1)
    assert ("drained", 2) in world.listeners[1].log
    assert world.listeners[2].numbers() == list(range(sent))


def test_a_killed_process_is_noticed_and_its_next_life_is_another_connection() -> None:
    world = World(2)
    world.run(2)
    world.wires[2].runtime.die()
    world.wires[2].stop()
    world.run(1)
    assert world.listeners[1].log[-1] == ("down", 2)
    world.start(2)
    world.run(2)
    assert world.listeners[1].log[-1] == ("up", 2)
    assert world.send(1, 2, 5)
    world.run(1)
    assert world.listeners[2].numbers() == [5]


def test_a_power_loss_is_noticed_late() -> None:
    world = World(2, seed=5)
    world.run(2)
    world.wires[2].runtime.die()
    world.wires[2].stop(silent=True)
    world.run(0.05)
    assert world.listeners[1].log[-1] == ("up", 2)
    world.run(4)
    assert world.listeners[1].log[-1] == ("down", 2)


def test_strangers_are_dropped_and_not_heard() -> None:
    world = World(3)
    world.run(2)
    world.send(3, 1, 1)
    world.wires[1].set_members(world.members[:2])
    world.run(1)
    assert world.listeners[1].log[-1] == ("down", 3)
    assert world.listeners[1].numbers() == []
    assert not world.send(1, 3, 2)


def test_messages_double_and_overtake_only_in_the_unruly_mode() -> None:
    world = World(2, duplicate_rate=0.2, reorder_rate=0.2)
    world.run(2)
    for number in range(200):
        world.send(1, 2, number)
    world.run(5)
    numbers = world.listeners[2].numbers()
    assert set(numbers) == set(range(200))
    assert len(numbers) > 200
    assert numbers != sorted(numbers)
    world.network.heal()
    world.listeners[2].log.clear()
    for number in range(50):
        world.send(1, 2, number)
    world.run(5)
    assert world.listeners[2].numbers() == list(range(50))
