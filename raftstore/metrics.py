"""What a replica counts. Plain numbers that grow or stand still; whoever wants to show them reads them.

Nothing here knows Prometheus: `read()` gives (name, help, value) and the daemon's collector does the rest.
"""

from __future__ import annotations

import msgspec

HELP = {
    "requests": "Write requests accepted into the queue",
    "requests_refused": "Write requests refused because a queue was full",
    "requests_timed_out": "Write requests whose deadline passed",
    "requests_resent": "Write requests sent again after a leader change or a lost message",
    "batches": "Batches given to the log or forwarded to the leader",
    "batch_requests": "Requests in those batches",
    "forwarded_requests": "Requests of other replicas joined into a batch here",
    "forwarded_refused": "Requests of other replicas refused because the queue was full",
    "sessions_registered": "Sessions this replica registered",
    "read_rounds": "ReadIndex rounds asked for",
    "read_rounds_lost": "ReadIndex rounds that were not confirmed",
    "readers": "Readers released by a round",
    "readers_timed_out": "Readers whose deadline passed",
    "entries_applied": "Log entries applied",
    "apply_chunks": "Transactions in which entries were applied",
    "apply_retries": "Transactions repeated because the disk was full",
    "events": "Events handed to the watch hub",
    "leases_expired": "Leases the leader declared over",
    "lease_clocks_restarted": "Times all leases got a full time to live again",
    "compactions": "Compactions proposed by age",
    "compaction_steps": "Slices of physical compaction",
    "quota_soft": "1 while the state is above the soft quota",
    "snapshots": "Snapshots of its own this replica finished",
    "snapshots_failed": "Snapshots of its own that failed",
    "snapshots_installed": "Snapshots installed over the state",
    "digest_rounds": "Rounds in which digests were compared",
    "digest_mismatches": "Replicas found to differ from the majority",
    "calls": "Questions sent to another replica",
    "calls_failed": "Questions without an answer",
}


class Metrics(msgspec.Struct):
    """Counters since the replica was opened."""

    requests: int = 0
    requests_refused: int = 0
    requests_timed_out: int = 0
    requests_resent: int = 0
    batches: int = 0
    batch_requests: int = 0
    forwarded_requests: int = 0
    forwarded_refused: int = 0
    sessions_registered: int = 0
    read_rounds: int = 0
    read_rounds_lost: int = 0
    readers: int = 0
    readers_timed_out: int = 0
    entries_applied: int = 0
    apply_chunks: int = 0
    apply_retries: int = 0
    events: int = 0
    leases_expired: int = 0
    lease_clocks_restarted: int = 0
    compactions: int = 0
    compaction_steps: int = 0
    quota_soft: int = 0
    snapshots: int = 0
    snapshots_failed: int = 0
    snapshots_installed: int = 0
    digest_rounds: int = 0
    digest_mismatches: int = 0
    calls: int = 0
    calls_failed: int = 0

    def read(self) -> list[tuple[str, str, int]]:
        """(name, help, value) of every counter."""
        return [(name, HELP[name], getattr(self, name)) for name in self.__struct_fields__]
