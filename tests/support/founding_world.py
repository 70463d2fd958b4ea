"""A network of founders in one thread: messages are lost, doubled, reordered; replicas crash; time is a number."""

from __future__ import annotations

import random
from collections import deque
from typing import Any, NamedTuple

from raftstore.raft.engine import Configuration, Member, Message
from raftstore.raft.founding import Actions, Founder, FoundingState, FoundingTiming, list_digest


class Packet(NamedTuple):
    kind: str  # ask, answer
    sender: str
    receiver: str
    message: Message
    asked: float  # when the question was, on the asker's clock


#: No politeness: everybody proposes as soon as a majority is there, and gives up soon.
RUDE = FoundingTiming(wait_for_all_s=0.0, stagger_s=0.04, round_s=0.2)


class Replica:
    """A founder with the state its disk holds; a crash loses all but that."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.disk = FoundingState(member_id=world.random.getrandbits(62) + 1, list_digest=list_digest(world.addresses))
        self.outcomes: list[Configuration] = []
        self.alive = False
        self.start()

    def start(self) -> None:
        self.alive = True
        self.founder = Founder(
            Member(self.disk.member_id, self.name, self.world.addresses[self.name]),
            self.world.addresses,
            self.disk,
            random=self.world.random.random,
            random_id=lambda: self.world.random.getrandbits(62) + 1,
            timing=self.world.timing,
        )

    def carry_out(self, actions: Actions) -> None:
        if actions.save is not None:
            self.disk = actions.save
        if self.world.random.random() < self.world.crash / 4:  # saved, nothing sent, nothing acted upon
            self.alive = False
            return
        for name, question in actions.sends:
            self.world.post(Packet("ask", self.name, name, question, self.world.now))
        if self.founder.outcome is not None and self.founder.outcome.configuration not in self.outcomes:
            self.outcomes.append(self.founder.outcome.configuration)


class World:
    """`muted`: nobody learns from others that it is decided, so that agreement rests on the ballots alone.

    `travel_s` is the least a packet takes.
    """

    def __init__(self, names: int, seed: int, timing: FoundingTiming | None = None) -> None:
        self.timing = timing
        self.random = random.Random(seed)
        self.addresses = {f"n{number}": f"10.0.0.{number}:2380" for number in range(1, names + 1)}
        self.replicas = {name: Replica(self, name) for name in self.addresses}
        self.wire: list[Packet] = []
        self.travelling: deque[tuple[float, Packet]] = deque()
        self.now = self.travel_s = 0.0
        self.loss = self.doubling = self.crash = 0.0
        self.muted = False

    def post(self, packet: Packet) -> None:
        if self.muted and packet.message["type"] in ("found.exists", "found.decided"):
            return
        for _ in range(2 if self.random.random() < self.doubling else 1):
            if self.random.random() >= self.loss and len(self.wire) < 5000:
                self.travelling.append((self.now + self.travel_s, packet))

    def deliver(self, packet: Packet) -> None:
        replica = self.replicas[packet.receiver]
        if not replica.alive:
            return
        if packet.kind == "answer":
            replica.carry_out(replica.founder.receive(packet.message, packet.asked, self.now))
            return
        actions, answer = replica.founder.answer(packet.message, self.now)
        if self.random.random() < self.crash:
            if self.random.random() < 0.5 and actions.save is not None:
                replica.disk = actions.save  # saved, and crashed before it could answer
            replica.alive = False
            return
        replica.carry_out(actions)
        self.post(Packet("answer", packet.receiver, packet.sender, answer, packet.asked))

    def step(self) -> None:
        self.now += 0.02
        for replica in self.replicas.values():
            if replica.alive:
                replica.carry_out(replica.founder.tick(self.now))
            elif self.random.random() < 0.2:
                replica.start()
        while self.travelling and self.travelling[0][0] <= self.now:
            self.wire.append(self.travelling.popleft()[1])
        for _ in range(self.random.randrange(len(self.wire) + 2)):
            if self.wire:
                self.deliver(self.wire.pop(self.random.randrange(len(self.wire))))

    def heal(self) -> None:
        self.loss = self.doubling = self.crash = 0.0
        self.muted = False
        for replica in self.replicas.values():
            if not replica.alive:
                replica.start()

    def decided(self) -> list[Configuration]:
        """Every different document any replica has ever come to."""
        different: list[Configuration] = []
        for replica in self.replicas.values():
            different += [outcome for outcome in replica.outcomes if outcome not in different]
        return different

    def all_done(self) -> bool:
        return all(replica.founder.outcome is not None for replica in self.replicas.values())

    def run(self, steps: int, **faults: Any) -> None:
        for name, value in faults.items():
            setattr(self, name, value)
        for _ in range(steps):
            self.step()
