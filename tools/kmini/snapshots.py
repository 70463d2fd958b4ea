"""Backups: out of a running server, whole or not at all, and into a new cluster.

The store gives a copy of its state. A backup (raftstore/backup.py) is that copy behind a manifest that vouches for
it, and is made here from the copy. What `etcdctl snapshot save` writes is the bare copy with a SHA-256 behind it:
such a file is taken too, and has the little in its manifest that the copy knows.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from raftstore import backup
from raftstore.errors import SnapshotDamaged, StoreError
from raftstore.mvcc.meta import read_snapshot_meta
from raftstore.raft.engine import Configuration
from raftstore.snapshot import Manifest
from raftstore.store import Store

from . import shared_keys
from .client import EtcdClient
from .errors import CommandError
from .layout import Layout, Running

READ_BYTES = 1024 * 1024
DIGEST_BYTES = hashlib.sha256().digest_size
BACKUP_MAGIC = b"KMINISNP"  # raftstore/backup.py
ETCD_ALIGNMENT_BYTES = 512  # etcd's own mark of a file with a digest behind it: size modulo this is 32


# --- saving -----------------------------------------------------------------------------------------


async def save_store(store: Store, path: Path) -> Manifest:
    """Back up a store of this process. Raises StoreError, OSError; then there is no new file."""
    status = store.status()
    _size, chunks = await store.snapshot()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".snapshot-") as folder:
        raw = Path(folder) / "copy"
        with raw.open("wb") as file:  # opening an empty file; what is long goes to a thread
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
        return await asyncio.to_thread(
            package, raw, path, member_name=status.name, known=status.configuration, now_wall_s=time.time()
        )


def save_from(running: Running, pki: Path, path: Path) -> Manifest:
    """Back up a running server over its etcd face. Raises CommandError; then there is no new file."""
    if not running.etcd_port:
        raise CommandError(f"{running.name} runs with its etcd face off (--etcd-port 0): it cannot be asked")
    try:
        with (
            EtcdClient(running.etcd_address, pki) as client,
            tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".snapshot-") as folder,
        ):
            known = Configuration(client.status().header.cluster_id, ())
            raw = Path(folder) / "copy"
            _write_without_digest(client.snapshot(), raw)
            return package(raw, path, member_name=running.name, known=known, now_wall_s=time.time())
    except (StoreError, OSError) as error:
        raise CommandError(f"nothing was saved: {error}") from error


def package(raw: Path, path: Path, *, member_name: str, known: Configuration, now_wall_s: float) -> Manifest:
    """Make a backup of a bare copy of the state. `known`: the members, for a copy that has not seen any.

    Blocking. Raises StateDamaged, UnknownFormat, OSError.
    """
    meta = read_snapshot_meta(raw)
    configuration = meta.configuration or known
    with raw.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        manifest = Manifest(
            cluster_id=configuration.cluster_id,
            member_name=member_name,
            index=meta.applied_index,
            term=meta.applied_term,
            revision=meta.revision,
            compact_revision=meta.compact_revision,
            configuration=configuration,
            size=meta.bytes,
            sha256=digest,
            taken_at_s=now_wall_s,
        )
        file.seek(0)
        return backup.save_backup(path, backup.backup_stream(manifest, iter(lambda: file.read(READ_BYTES), b"")))


def _write_without_digest(chunks: Iterable[bytes], path: Path) -> None:
    """Write a stream whose last 32 bytes are the SHA-256 of those before. Raises SnapshotDamaged, OSError."""
    digest, held = hashlib.sha256(), b""
    with path.open("wb") as file:
        for chunk in chunks:
            held += chunk
            body, held = held[:-DIGEST_BYTES], held[-DIGEST_BYTES:]
            digest.update(body)
            file.write(body)
    if held != digest.digest():
        raise SnapshotDamaged("the SHA-256 at the end does not hold")


# --- verifying and restoring --------------------------------------------------------------------------


def verify_file(path: Path) -> Manifest:
    """Raises CommandError when the file is not good."""
    try:
        with _as_backup(path) as plain:
            return backup.verify_backup(plain)
    except (StoreError, OSError) as error:
        raise CommandError(str(error)) from error


def restore_file(
    path: Path,
    layout: Layout,
    *,
    name: str | None,
    address: str,
    keys: Path | None,
    passphrase: shared_keys.Passphrase,
) -> Manifest:
    """Make the data directory that of a new cluster. Raises CommandError; a directory in use is left as it is.

    `keys`: the file of shared keys; `passphrase` is asked when that is sealed.
    """
    if layout.running() is not None:
        raise CommandError(f"a server runs in {layout.data_dir}: restore into a new data directory")
    try:
        with _as_backup(path) as plain:
            manifest = backup.verify_backup(plain)
            if keys is not None:
                shared_keys.restore(keys, layout.pki, passphrase)
            layout.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            return backup.restore(
                plain,
                layout.data_dir,
                name=name or manifest.member_name,
                address=address,
                cluster_id=random_id(),
                member_id=random_id(),
                now_wall_s=time.time(),
            )
    except (StoreError, OSError) as error:
        raise CommandError(str(error)) from error


def random_id() -> int:
    return secrets.randbits(62) + 1


@contextmanager
def _as_backup(path: Path) -> Iterator[Path]:
    """The file itself, or a backup made of one of `etcdctl snapshot save`; the latter is gone afterwards."""
    with path.open("rb") as file:
        if not _is_etcd_snapshot(file):
            yield path
            return
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".snapshot-") as folder:
            raw, made = Path(folder) / "copy", Path(folder) / "backup"
            _write_without_digest(iter(lambda: file.read(READ_BYTES), b""), raw)
            package(raw, made, member_name="etcdctl", known=Configuration(0, ()), now_wall_s=path.stat().st_mtime)
            yield made


def _is_etcd_snapshot(file: BinaryIO) -> bool:
    """By etcd's own mark, and because it is no backup of ours."""
    own = file.read(len(BACKUP_MAGIC)) == BACKUP_MAGIC
    size = file.seek(0, 2)
    file.seek(0)
    return not own and size % ETCD_ALIGNMENT_BYTES == DIGEST_BYTES
