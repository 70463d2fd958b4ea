"""The certificates of one replica: what it shares is made or copied, what is its own is issued when due.

Runs before anything listens. `DIR/pki` then holds ca, peer-ca, sa.key and the key ring (shared), and
server (serving), admin (system:masters) and, once the replica has an identity, peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from apiserver.auth import pki
from apiserver.auth.keyring import PkiError

from .errors import CommandError

SERVING = "server"
ADMIN = "admin"
PEER = "peer"


def make_ready(
    folder: Path,
    *,
    ca_dir: Path | None,
    alone: bool,
    addresses: Sequence[str],
    extra_names: Sequence[str],
    service_cidr: str,
    cluster_domain: str,
) -> None:
    """Everything but the peer certificate. `alone`: no other replica has to trust what is made here.

    Raises CommandError naming the bad file, or the way to shared authorities when they are needed.
    """
    try:
        if ca_dir is not None:
            pki.copy_shared(ca_dir, folder)
        elif alone or (folder / "peer-ca.crt").exists():
            pki.init_shared(folder)
        else:
            raise CommandError(
                "replicas of one cluster must share their authorities: make them once with "
                "`kmini pki init --ca-dir DIR` and start every replica with --ca-dir"
            )
        names = pki.serving_names(
            addresses=addresses, extra=extra_names, service_cidr=service_cidr, cluster_domain=cluster_domain
        )
        authority = pki.load_authority(folder, pki.CLUSTER_CA)
        if pki.needs_issue(folder, SERVING, authority, names):
            pki.write_pair(folder, SERVING, pki.issue_serving(authority, names))
        if pki.needs_issue(folder, ADMIN, authority):
            pki.write_pair(folder, ADMIN, pki.issue_admin(authority))
    except (PkiError, OSError) as error:
        raise CommandError(str(error)) from error


def issue_peer(folder: Path, cluster_id: int, member_id: int) -> None:
    """The peer certificate for an identity, unless a good one is there. Raises PkiError, OSError."""
    authority = pki.load_authority(folder, pki.PEER_CA)
    uri = f"kmini://{cluster_id:016x}/member/{member_id:016x}"
    if pki.needs_issue(folder, PEER, authority, [uri]):
        pki.write_pair(folder, PEER, pki.issue_peer(authority, cluster_id, member_id))
