"""Who may do what through the etcd face (docs/contract.md, "etcd v3 gRPC").

Identity is the client certificate: its groups are the organizations of its subject. `system:masters` may
do everything. `kmini:etcd` may use keys, watches and leases outside `/registry/`, where the API server
keeps its objects, and look at members and status. Everybody else, nodes included, may do nothing, and an
RPC that is not named here is for masters: a new one is closed until somebody opens it.
"""

from __future__ import annotations

from raftstore.etcd.identity import Identity, KeyRange
from raftstore.model import ALL_FROM, prefix_end

MASTERS = "system:masters"
ETCD_USERS = "kmini:etcd"

REGISTRY = b"/registry/"
REGISTRY_END = prefix_end(REGISTRY)

#: What `kmini:etcd` may call, as long as no key under /registry/ is touched. HashKV is not here: it reads all keys.
USER_RPCS = frozenset(
    {
        "KV.Range",
        "KV.Put",
        "KV.DeleteRange",
        "KV.Txn",
        "Watch.Watch",
        "Lease.LeaseGrant",
        "Lease.LeaseRevoke",
        "Lease.LeaseKeepAlive",
        "Lease.LeaseTimeToLive",
        "Lease.LeaseLeases",
        "Cluster.MemberList",
        "Maintenance.Status",
    }
)


def touches_registry(keys: KeyRange) -> bool:
    """Whether the range and `/registry/` have any key in common."""
    if not keys.range_end:
        return keys.key.startswith(REGISTRY)
    return keys.key < REGISTRY_END and (keys.range_end == ALL_FROM or keys.range_end > REGISTRY)


def authorize(identity: Identity, rpc: str, keys: KeyRange | None) -> bool:
    """The rule the daemon hands to the etcd face."""
    if MASTERS in identity.groups:
        return True
    if ETCD_USERS not in identity.groups or rpc not in USER_RPCS:
        return False
    return keys is None or not touches_registry(keys)
