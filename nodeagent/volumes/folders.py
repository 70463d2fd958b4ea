"""Where the volumes of pods are on a node, and how they go.

    DIR/agent/pods/<uid>/volumes/<name>                    a volume: configMap, downwardAPI, emptyDir
    DIR/agent/pods/<uid>/memory/<name>                     the same on the pod's own tmpfs: secret, projected
    DIR/agent/pods/<uid>/subpaths/<name>/<container>/<n>   bind mounts: what a mount with subPath shows
    DIR/agent/pods/<uid>/done/<name>                       what is done once for each pod
    DIR/agent/pods/<uid>/claimed/<volume>                  which PersistentVolumes it uses
    DIR/agent/pods/<uid>/notes/<name>                      of volumes with a claim: where they are
    DIR/agent/pods/<uid>/new                               what is being made; renamed when it is complete

Raises OSError.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import msgspec

from .failures import CannotMount
from .mounting import is_mounted, mount_tmpfs, unmount_under
from .removing import remove_tree

_PARTS = ("volumes", "memory", "subpaths", "done", "new", "claimed", "notes")
_TMPFS = "tmpfs"
_MEMORY_MAX = 256 << 20  # bytes of Secrets and tokens; a pod's are some KiB
_name_re = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


class ClaimNote(msgspec.Struct, frozen=True, kw_only=True):
    """Where the volume behind a claim is."""

    path: str
    read_only: bool


class PodFolders:
    """`root` is DIR/agent/pods."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, uid: str) -> Path:
        return self.root / _one_step(uid)

    def volume(self, uid: str, name: str) -> Path:
        return self.of(uid) / "volumes" / _one_step(name)

    def in_memory(self, uid: str, name: str) -> Path:
        return self.of(uid) / "memory" / _one_step(name)

    def subpath(self, uid: str, volume: str, container: str, number: int) -> Path:
        return self.of(uid) / "subpaths" / _one_step(volume) / _one_step(container) / str(number)

    def done(self, uid: str, name: str) -> Path:
        return self.of(uid) / "done" / _one_step(name)

    def claim(self, uid: str, volume: str) -> None:
        make_parents(self.of(uid) / "claimed" / _one_step(volume)).touch()

    def is_claimed(self, volume: str) -> bool:
        """Whether a pod that is here uses the PersistentVolume, or did a moment ago."""
        return any((self.of(uid) / "claimed" / _one_step(volume)).exists() for uid in self.uids())

    def remember(self, uid: str, name: str, note: ClaimNote) -> None:
        """Whole or not at all."""
        making = self.new(uid) / f"note-{_one_step(name)}"
        making.write_bytes(msgspec.json.encode(note))
        making.rename(make_parents(self.of(uid) / "notes" / _one_step(name)))

    def remembered(self, uid: str, name: str) -> ClaimNote | None:
        """None also for one that the power took half of, and when nothing is there any more."""
        try:
            note = msgspec.json.decode((self.of(uid) / "notes" / _one_step(name)).read_bytes(), type=ClaimNote)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return note if os.path.exists(note.path) else None

    def new(self, uid: str) -> Path:
        """A folder for what is being made."""
        return _made(self.of(uid) / "new")

    def uids(self) -> list[str]:
        """Of pods that have something here; a disk of its own has a lost+found as well, which is nobody's."""
        with suppress(FileNotFoundError):
            return sorted(each.name for each in self.root.iterdir() if _name_re.fullmatch(each.name))
        return []

    def ensure_memory(self, uid: str) -> None:
        """The pod's tmpfs. Raises CannotMount: nothing secret goes to a disk. Nor where other users of the node come
        by, for its files have the modes that the pod wants."""
        folder = _made(self.of(uid) / "memory")
        if self.root.stat().st_mode & 0o077:
            self.root.chmod(0o700)
        if is_mounted(folder, _TMPFS):
            return
        try:
            mount_tmpfs(folder, size=_MEMORY_MAX)
        except OSError as error:
            raise CannotMount(f"no tmpfs for secrets: {error.strerror}") from error

    def remove(self, uid: str) -> None:
        """Mounts first; then nothing that is still mounted is touched. Others may have something in the pod's folder,
        which they take away themselves."""
        folder = self.of(uid)
        if not folder.exists():
            return
        unmount_under(folder)
        for part in _PARTS:
            remove_tree(folder / part)
        with suppress(OSError):
            folder.rmdir()


def make_parents(path: Path) -> Path:
    _made(path.parent)
    return path


def _made(folder: Path) -> Path:
    """Containers do not come by here: what they see is mounted for them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _one_step(name: str) -> str:
    """The API server's names are; a name that is more would lead elsewhere. Raises CannotMount."""
    if not _name_re.fullmatch(name):
        raise CannotMount(f'"{name}" cannot be the name of a folder')
    return name
