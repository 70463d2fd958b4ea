"""Every bound of the store in one place, with its unit in its name and where it comes from.

etcd's limits are at https://etcd.io/docs/v3.5/dev-guide/limit/.
"""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * 1024

REQUEST_BYTES_MAX = 3 * MIB // 2  # etcd: --max-request-bytes 1.5 MiB
TXN_OPERATIONS_MAX = 128  # etcd: --max-txn-ops
LEASE_TTL_S_MAX = 9_000_000_000  # etcd: lessor.MaxLeaseTTL
ENTRY_BYTES_MAX = 4 * MIB  # one Raft entry: a batch of requests
FRAME_BYTES_MAX = 16 * MIB  # one frame between peers
FRAME_ITEMS_MAX = 65_536  # items of one array or map in a frame
GREETING_BYTES_MAX = 64 * KIB  # one frame of a peer that has not said hello, or is not a member
PEER_BUFFER_BYTES_HIGH = 8 * MIB  # waiting for one peer: above this send() refuses ...
PEER_BUFFER_BYTES_LOW = 2 * MIB  # ... until it fell below this
HANDSHAKES_MAX = 64  # connections of the peer port that have not said hello yet
ASKS_MAX = 32  # questions of replicas that are not members yet, being answered
CLUSTER_LIST_MAX = 15  # names in --initial-cluster
QUOTA_BYTES_DEFAULT = 2 * 1024 * MIB  # etcd: --quota-backend-bytes
MAP_TO_QUOTA = 4  # LMDB map size over quota: room for compaction's copy-on-write
RESIDENT_STATE_BYTES_MAX = 32 * MIB  # mapped pages of the state in a server's memory, looked at every few seconds
QUOTA_SOFT = 0.80
QUOTA_HARD = 0.95

PROPOSALS_MAX = 10_000  # requests of this replica waiting for their result
PROPOSAL_BYTES_MAX = 64 * MIB
APPLY_BACKLOG_BYTES_MAX = 8 * MIB  # committed entries waiting for the state machine
READERS_MAX = 100_000  # readers waiting for a ReadIndex round
SNAPSHOT_MESSAGES_MAX = 64  # chunks of a snapshot received and not written yet
CALLS_MAX = 10_000  # questions to another replica without an answer
WATCH_BUFFER_EVENTS_MAX = 10_000  # per watcher
WATCH_BUFFER_BYTES_MAX = 16 * MIB
WATCHERS_MAX = 100_000
SESSIONS_MAX = 1_024
SESSION_IDLE_ENTRIES_MAX = 100_000  # log positions after which an idle session is forgotten
SESSION_WINDOW_MAX = 4_096  # unresolved sequences of one session
LEASES_MAX = 1_000_000
ALARMS_MAX = 64


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals of the Raft log, in seconds. An election timeout is drawn from [min, max)."""

    heartbeat_s: float = 0.1
    election_timeout_s_min: float = 0.6
    election_timeout_s_max: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat_s * 3 < self.election_timeout_s_min < self.election_timeout_s_max:
            raise ValueError(
                "timing: need 0 < 3 * heartbeat_s < election_timeout_s_min < election_timeout_s_max, "
                f"got {self.heartbeat_s}, {self.election_timeout_s_min}, {self.election_timeout_s_max}"
            )
