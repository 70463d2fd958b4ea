"""What goes wrong in a run: one fault after another, of the classes the seed drew, until everything heals.

Half of the faults strike the leader, for that is where they hurt. Nothing here knows the product; a fault
is something done to a host, its disk, its clock or the network.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..failpoint import NAMES
from .swarm import Fault, Options

if TYPE_CHECKING:
    from .cluster import Cluster
    from .host import Host

_KILL_MORE_RATE = 0.12  # of kills: more than one host at once, often all
_POWER_MORE_RATE = 0.4  # of power losses: a rack has one supply
_BROWN_OUT_RATE = 0.3
_DEAF_RATE = 0.5  # of transfers: the leader hears nobody while it hands over
_IN_THE_MIDDLE_RATE = 0.3  # ... in the middle of what they do to their disk
_ARMED_HITS_MAX = 20


class Faults:
    """Strikes at drawn times between `start` and `stop`."""

    def __init__(self, cluster: Cluster, rng: random.Random, options: Options) -> None:
        self.counts: Counter[str] = Counter()
        self._cluster = cluster
        self._rng = rng
        self._options = options
        self._running = False
        self._kinds = [fault for fault in Fault if fault in options.faults]  # in the enum's order, not the set's
        self._strikes: dict[Fault, Callable[[Host], bool]] = {
            Fault.PARTITION: self._partition,
            Fault.ONE_WAY: self._one_way,
            Fault.BREAK: self._break,
            Fault.KILL: lambda host: self._crash(host, power=False),
            Fault.POWER: self._power,
            Fault.PAUSE: lambda host: self._pause(host, freeze_clock=False),
            Fault.SUSPEND: lambda host: self._pause(host, freeze_clock=True),
            Fault.SLOW_DISK: self._slow_disk,
            Fault.FULL_DISK: self._full_disk,
            Fault.BIT_FLIP: self._bit_flip,
            Fault.WALL_JUMP: self._wall_jump,
            Fault.TRANSFER: self._transfer,
            Fault.MEMBERSHIP: self._membership,
            Fault.FAILPOINT: self._failpoint,
        }

    def start(self) -> None:
        self._running = True
        if self._kinds:
            self._later()

    def stop(self) -> None:
        self._running = False

    def _later(self) -> None:
        self._after(self._options.fault_interval_s * (0.3 + 1.4 * self._rng.random()), self._strike)

    def _after(self, delay_s: float, step: Callable[[], object]) -> None:
        def while_running() -> None:
            if self._running:
                step()

        self._cluster.schedule.after(delay_s, while_running)

    def _strike(self) -> None:
        fault = self._rng.choice(self._kinds)
        host = self._victim()
        self._cluster.schedule.trace(f"fault {fault.value} {host.name}")
        if self._strikes[fault](host):
            self.counts[fault.value] += 1
        self._later()

    def _victim(self) -> Host:
        leader = self._cluster.leader()
        if leader is not None and self._rng.random() < 0.5:
            return leader
        return self._rng.choice(self._cluster.hosts)

    def _others(self, host: Host, count_max: int) -> list[Host]:
        others = [other for other in self._cluster.hosts if other is not host]
        return self._rng.sample(others, min(len(others), self._rng.randint(1, max(1, count_max))))

    # --- network

    def _partition(self, host: Host) -> bool:
        """One side against the rest; a long one ends the connections."""
        hosts = self._cluster.hosts
        side = [host, *self._others(host, len(hosts) // 2)][: max(1, (len(hosts) - 1) // 2)]
        duration_s = self._rng.choice((0.3, 1.0, 2.5, 5.0))
        for one in side:
            for other in hosts:
                if other not in side:
                    self._cluster.network.stall(one.member_id, other.member_id, duration_s)
                    self._cluster.network.stall(other.member_id, one.member_id, duration_s)
        return len(hosts) > 1

    def _one_way(self, host: Host) -> bool:
        duration_s = self._rng.choice((0.3, 1.0, 2.0, 3.0))
        for other in self._others(host, len(self._cluster.hosts)):
            pair = (host.member_id, other.member_id)
            source, target = pair if self._rng.random() < 0.5 else pair[::-1]
            self._cluster.network.stall(source, target, duration_s)
        return len(self._cluster.hosts) > 1

    def _break(self, host: Host) -> bool:
        for other in self._others(host, len(self._cluster.hosts)):
            self._cluster.network.break_connection(host.member_id, other.member_id)
        return len(self._cluster.hosts) > 1

    # --- processes

    def _crash(self, host: Host, *, power: bool) -> bool:
        """One host or, now and then, more or all of them; each is back after a while."""
        chosen = [host]
        if self._rng.random() < (_POWER_MORE_RATE if power else _KILL_MORE_RATE):
            hosts = self._cluster.hosts
            chosen = self._rng.sample(hosts, self._rng.randint((len(hosts) + 1) // 2, len(hosts)))
        victims = [victim for victim in chosen if victim.running]
        for victim in victims:
            if len(chosen) == 1 and self._rng.random() < _IN_THE_MIDDLE_RATE:
                victim.cut_disk_soon(power=power)
            else:
                victim.crash(power=power)
            self._restart_later(victim)
        return bool(victims)

    def _power(self, host: Host) -> bool:
        """At once, or as a brown-out: a majority of the disks hang, a moment later everybody is dark."""
        if self._rng.random() >= _BROWN_OUT_RATE:
            return self._crash(host, power=True)
        hosts = self._cluster.hosts
        hanging = self._rng.sample(hosts, len(hosts) // 2 + 1)
        for other in hanging:
            other.disk_speed.stalled_until_s = self._cluster.schedule.now_s + 1.0
        self._after(0.02 + 0.3 * self._rng.random(), lambda: self._darkness(hanging))
        return True

    def _darkness(self, back_first: list[Host]) -> None:
        """Those whose disks hung come back first and, if they may, go on without the rest."""
        for host in [host for host in self._cluster.hosts if host.running]:
            host.disk_well()
            host.crash(power=True)
            self._after(self._rng.random() * 0.3 + (0.0 if host in back_first else 2.0), host.start)

    def _restart_later(self, host: Host) -> None:
        """A host that is still up then (the instant of its death never came) just goes on."""
        self._after(self._rng.choice((0.02, 0.4, 2.0)) * (0.5 + self._rng.random()), host.start)

    def _pause(self, host: Host, *, freeze_clock: bool) -> bool:
        if not host.running or host.paused:
            return False
        host.pause(freeze_clock=freeze_clock)
        self._after(self._rng.choice((0.1, 0.7, 2.0, 5.0)), host.resume)
        return True

    def _failpoint(self, host: Host) -> bool:
        """The process dies, or hangs a while, at one of the named places in the product's code."""
        name = self._rng.choice(sorted(NAMES))
        action = self._rng.choice((self._die_here, self._die_here, self._hang_here))
        self._cluster.failpoints.arm(host, name, self._rng.randrange(_ARMED_HITS_MAX), action)
        return True

    def _die_here(self, host: Host) -> None:
        power = Fault.POWER in self._options.faults and self._rng.random() < 0.5
        self._restart_later(host)
        host.crash_from_within(power=power)

    def _hang_here(self, host: Host) -> None:
        """It finishes what it does and then hears nothing for a while."""
        host.pause(freeze_clock=False)
        self._after(self._rng.choice((0.1, 1.0, 3.0)), host.resume)

    # --- disks and clocks

    def _slow_disk(self, host: Host) -> bool:
        if self._rng.random() < 0.5:
            host.disk_speed.stalled_until_s = self._cluster.schedule.now_s + self._rng.choice((0.3, 1.0, 5.0))
        else:
            host.disk_speed.slow_factor = self._rng.choice((5.0, 30.0, 100.0))
            self._after(self._rng.choice((0.5, 3.0)), host.disk_well)
        return True

    def _full_disk(self, host: Host) -> bool:
        host.fill_disk()
        self._after(self._rng.choice((0.2, 1.0, 4.0)), host.disk_well)
        return True

    def _bit_flip(self, host: Host) -> bool:
        """A synced part of the journal changes while its process is down; only while all others are whole.

        More than one damaged log at a time may lose writes, and no protection could help.
        """
        if not self._cluster.spare_log(host) or not host.running:
            return False
        host.crash(power=False)
        flipped = host.flip_bit(self._rng)
        self._cluster.observer.raft.disk_changed(host.member_id)
        self._restart_later(host)
        return flipped

    def _wall_jump(self, host: Host) -> bool:
        host.clock.wall_offset_s += self._rng.choice((-3600.0, -5.0, 5.0, 86400.0))
        return True

    # --- requests of an operator

    def _transfer(self, host: Host) -> bool:
        """Also by a leader that hears nobody: it learns late that it has a successor."""
        leader = self._cluster.leader()
        if leader is not None and self._rng.random() < _DEAF_RATE:
            for other in self._cluster.hosts:
                if other is not leader:
                    self._cluster.network.stall(other.member_id, leader.member_id, self._rng.choice((0.5, 2.0)))
        return self._cluster.transfer_leadership(self._rng)

    def _membership(self, host: Host) -> bool:
        return self._cluster.change_membership(self._rng)
