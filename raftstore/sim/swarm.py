"""What a seed decides before anything runs: which faults, how large a cluster, how fast, how tight.

Swarm testing (Groce et al., 2012): each seed switches whole classes of faults off, so that the others
get room; a run with every fault at once mostly shows the same few things.
"""

from __future__ import annotations

import enum
import random

import msgspec

from ..limits import KIB, Timing
from .network import NetworkOptions


class Fault(enum.Enum):
    """One class of faults each; the values are the names that `--only` and `--without` take."""

    PARTITION = "partition"
    ONE_WAY = "one-way"
    BREAK = "break"
    KILL = "kill"
    POWER = "power"
    PAUSE = "pause"
    SUSPEND = "suspend"
    SLOW_DISK = "slow-disk"
    FULL_DISK = "full-disk"
    BIT_FLIP = "bit-flip"
    WALL_JUMP = "wall-jump"
    TRANSFER = "transfer"
    MEMBERSHIP = "membership"
    FAILPOINT = "failpoint"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The draw of one seed. Virtual seconds throughout."""

    seed: int
    size: int
    faults: frozenset[Fault]
    timing: Timing
    network: NetworkOptions
    safety_s: float
    fault_interval_s: float
    clock_rates: float  # clocks run at 1 ± this
    disk_median_s: float
    clients: int
    client_pause_s: float
    request_timeout_s: float
    keys: int
    value_bytes: int
    lease_ttl_s: int
    watchers: int
    compaction_age_s: float  # 0: never by age
    compact_requests: bool
    snapshot_bytes_min: int
    snapshot_every_s: float
    tail_entries: int
    segment_bytes: int
    quota_bytes: int

    def banner(self) -> str:
        """The draw in one line, for people."""
        faults = ",".join(sorted(fault.value for fault in self.faults)) or "none"
        network = f"latency {self.network.latency_s} s"
        if self.network.duplicate_rate or self.network.reorder_rate:
            network += f" duplicates {self.network.duplicate_rate} reorder {self.network.reorder_rate}"
        return (
            f"seed {self.seed}: {self.size} replicas, {self.safety_s:.0f} s, faults {faults} every "
            f"~{self.fault_interval_s} s, {network}, disk {self.disk_median_s} s, "
            f"election {self.timing.election_timeout_s_min}-{self.timing.election_timeout_s_max} s, clocks ±"
            f"{self.clock_rates}, {self.clients} clients on {self.keys} keys, {self.watchers} watchers, leases "
            f"{self.lease_ttl_s} s, compaction age {self.compaction_age_s} s, snapshot every {self.snapshot_bytes_min} "
            f"bytes or {self.snapshot_every_s} s keeping {self.tail_entries}, segments {self.segment_bytes}, "
            f"quota {self.quota_bytes}"
        )


_TIMINGS = (
    Timing(),
    Timing(),
    Timing(heartbeat_s=0.05, election_timeout_s_min=0.3, election_timeout_s_max=0.6),
    Timing(heartbeat_s=0.1, election_timeout_s_min=0.4, election_timeout_s_max=0.5),
)


def draw(seed: int) -> Options:
    """The options of a seed; the same on every machine and for ever."""
    rng = random.Random(f"raftstore swarm {seed}")
    faults = _draw_faults(rng)
    unruly = rng.random() < 0.2
    compaction_age_s = rng.choice((0.0, 1.0, 4.0))
    return Options(
        seed=seed,
        size=rng.choice((1, 3, 3, 3, 3, 5)),
        faults=faults,
        timing=rng.choice(_TIMINGS),
        network=NetworkOptions(
            latency_s=rng.choice((0.0005, 0.002, 0.002, 0.01, 0.03)),
            tail_rate=rng.choice((0.0, 0.01, 0.05)),
            tail_s=rng.choice((0.1, 0.5)),
            duplicate_rate=rng.choice((0.02, 0.1)) if unruly else 0.0,
            reorder_rate=rng.choice((0.05, 0.2)) if unruly else 0.0,
            buffer_bytes_max=rng.choice((16 * KIB, 256 * KIB, 4096 * KIB)),
        ),
        safety_s=rng.choice((8.0, 12.0, 16.0)),
        fault_interval_s=rng.choice((0.3, 0.8, 2.0)),
        clock_rates=rng.choice((0.0, 0.001, 0.05)),
        disk_median_s=rng.choice((0.0002, 0.001, 0.01)),
        clients=rng.choice((2, 4, 6)),
        client_pause_s=rng.choice((0.02, 0.05, 0.15)),
        request_timeout_s=rng.choice((0.5, 2.0, 7.0)),
        keys=rng.choice((1, 3, 8)),
        value_bytes=rng.choice((8, 100, 2000)),
        lease_ttl_s=rng.choice((2, 3, 5)),
        watchers=rng.choice((0, 2, 4)),
        compaction_age_s=compaction_age_s,
        compact_requests=rng.random() < 0.4,
        snapshot_bytes_min=rng.choice((4 * KIB, 32 * KIB, 1024 * KIB)),
        snapshot_every_s=rng.choice((0.0, 2.0, 6.0)),
        tail_entries=rng.choice((0, 20, 200)),
        segment_bytes=rng.choice((16 * KIB, 64 * KIB, 1024 * KIB)),
        quota_bytes=rng.choice((8192 * KIB, 65536 * KIB))
        if compaction_age_s
        else 65536 * KIB,  # without compaction it would fill
    )


def _draw_faults(rng: random.Random) -> frozenset[Fault]:
    if rng.random() < 0.02:
        return frozenset()
    share = rng.choice((0.25, 0.5, 0.8))
    return frozenset(fault for fault in Fault if rng.random() < share)


def restrict(options: Options, *, only: frozenset[Fault] | None, without: frozenset[Fault]) -> Options:
    """The same draw with fewer faults: what minimising a failure needs."""
    faults = options.faults if only is None else options.faults & only
    return msgspec.structs.replace(options, faults=faults - without)
