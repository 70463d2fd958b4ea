"""Which certificates a replica renews while it runs, and how each comes into use.

The serving certificate is loaded into the live TLS context: connections stay, new handshakes see the new one. The etcd
face reads its files again by itself. The peer certificate is the store's to renew: it renews every link under it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from apiserver.auth.rotation import Leaf, Rotation
from raftstore import Store

from . import certificates


def rotation_of(
    folder: Path,
    *,
    name: str,
    serving_names: Sequence[str],
    context: ssl.SSLContext,
    replica_context: ssl.SSLContext | None,
    store: Store,
    admin_renewed: Callable[[], None],
) -> Rotation:
    """`folder` is DIR/pki. `context` is the API port's, `replica_context` the one of calls to other replicas.

    `admin_renewed` rewrites what embeds the admin's certificate (DIR/kubeconfig). Blocking, called on a thread.
    """

    async def serving() -> None:
        await asyncio.to_thread(certificates.issue_serving, folder, serving_names)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")

    async def admin() -> None:
        await asyncio.to_thread(certificates.issue_admin, folder)
        await asyncio.to_thread(admin_renewed)

    async def replica() -> None:
        await asyncio.to_thread(certificates.issue_replica, folder, name)
        if replica_context is not None:
            replica_context.load_cert_chain(folder / "replica.crt", folder / "replica.key")

    async def controllers() -> None:
        await asyncio.to_thread(certificates.issue_controllers, folder)  # clients look at their files by themselves

    leaves = [
        Leaf(folder / "server.crt", folder / "ca.crt", serving),
        Leaf(folder / "admin.crt", folder / "ca.crt", admin),
        Leaf(folder / "replica.crt", folder / "ca.crt", replica),
        Leaf(folder / "controllers.crt", folder / "ca.crt", controllers),
    ]
    if store.peer_port:
        leaves.append(Leaf(folder / "peer.crt", folder / "peer-ca.crt", store.renew_credentials))
    return Rotation(leaves)
