"""What a replica can be told: intervals, bounds and habits, with the reason for each default.

Tests and the simulator shrink these; nothing else in the rooms of a replica is a number of its own.
"""

from __future__ import annotations

import math

import msgspec

from .limits import KIB, MIB, QUOTA_BYTES_DEFAULT, Timing


class SnapshotOptions(msgspec.Struct, frozen=True, kw_only=True):
    """When a replica takes a snapshot of its own, beyond those a peer asks for."""

    journal_bytes_min: int = 64 * MIB  # entries since the last snapshot: shorter logs are not worth a copy
    state_share: float = 0.5  # ... or this share of the state's size when that is more: bounds rewriting
    every_s: float = 12 * 3600.0  # also this often, when anything changed (0: never)
    tail_entries: int = 10_000  # entries kept behind a snapshot, so that a laggard needs no snapshot
    keep: int = 2  # snapshots kept; older ones are removed
    retry_s: float = 30.0  # after one that failed


class ReplicaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but identity and places. `protections_off` is for tests: see raft/guard.py."""

    protections_off: frozenset[str] = frozenset()
    timing: Timing = Timing()
    quota_bytes: int = QUOTA_BYTES_DEFAULT
    request_timeout_s: float = 7.0  # etcd: 5 s plus two election timeouts
    entries_in_flight_max: int = 4  # as leader: hides one fsync behind another, still batches
    entry_requests_max: int = 256  # applying them stays within a slice
    apply_slice_s: float = 0.005  # half of what may hold the event loop
    apply_chunk_entries: int = 64
    apply_chunk_bytes: int = 256 * KIB
    full_disk_retry_s: float = 0.1  # doubles up to full_disk_retry_s_max
    full_disk_retry_s_max: float = 5.0
    pulse_s: float = 1.0  # housekeeping: alarms, digests, compaction by age, promotions
    compaction_age_s: float = 300.0  # 0: never by age (etcd: --auto-compaction-retention)
    compaction_samples: int = 30  # how finely an age is measured
    compaction_rest_s: float = 0.01  # between two slices of physical compaction
    lease_revokes_per_tick: int = 100  # with the tick at a heartbeat: 1,000/s, as etcd's lessor
    digest_answer_s: float = 5.0  # how long a comparison waits for a slow replica
    snapshot: SnapshotOptions = SnapshotOptions()

    @property
    def forward_timeout_s(self) -> float:
        """After this a forwarded batch is sent again: by then a new leader may be known."""
        return self.timing.election_timeout_s_max

    @property
    def lease_ttl_s_min(self) -> int:
        """Half as long again as an election may take, in whole seconds (etcd: lessor's minLeaseTTL)."""
        return math.ceil(1.5 * self.timing.election_timeout_s_max)
