"""The certificates of one replica: what it shares is made or copied, what is its own is issued when due.

Runs before anything listens, and again while everything runs (rotating.py): each leaf is issued only when it is
missing, bad, or past two thirds of its life. `DIR/pki` then holds ca, peer-ca, sa.key and the key ring (shared), and
server (serving), admin (system:masters), replica (towards the other replicas' API ports), controllers (towards our own)
and, once the replica has an identity, peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from apiserver.auth import pki
from apiserver.auth.keyring import PkiError

from .errors import CommandError

SERVING = "server"
ADMIN = "admin"
REPLICA = "replica"
CONTROLLERS = "controllers"
PEER = "peer"


def make_ready(
    folder: Path,
    *,
    name: str,
    ca_dir: Path | None,
    alone: bool,
    names: Sequence[str],
) -> None:
    """Everything but the peer certificate. `name` of the replica, `names` for its serving certificate.

    `alone`: no other replica has to trust what is made here.

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
        issue_serving(folder, names)
        issue_admin(folder)
        issue_replica(folder, name)
        issue_controllers(folder)
    except (PkiError, OSError) as error:
        raise CommandError(str(error)) from error


def issue_serving(folder: Path, names: Sequence[str]) -> None:
    """The serving certificate, when it is due. Raises PkiError, OSError; so do the others."""
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    if pki.needs_issue(folder, SERVING, authority, names):
        pki.write_pair(folder, SERVING, pki.issue_serving(authority, names))


def issue_admin(folder: Path) -> None:
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    if pki.needs_issue(folder, ADMIN, authority):
        pki.write_pair(folder, ADMIN, pki.issue_admin(authority))


def issue_replica(folder: Path, name: str) -> None:
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    if pki.needs_issue(folder, REPLICA, authority):
        pki.write_pair(folder, REPLICA, pki.issue_replica(authority, name))


def issue_controllers(folder: Path) -> None:
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    if pki.needs_issue(folder, CONTROLLERS, authority):
        pki.write_pair(folder, CONTROLLERS, pki.issue_client(authority, pki.CONTROLLERS_USER))


def issue_peer(folder: Path, cluster_id: int, member_id: int) -> None:
    """The peer certificate for an identity, unless a good one is there. Raises PkiError, OSError."""
    authority = pki.load_authority(folder, pki.PEER_CA)
    uri = f"kmini://{cluster_id:016x}/member/{member_id:016x}"
    if pki.needs_issue(folder, PEER, authority, [uri]):
        pki.write_pair(folder, PEER, pki.issue_peer(authority, cluster_id, member_id))
