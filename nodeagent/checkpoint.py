"""The pods of a node as the API showed them last, on the node's disk: one file each, for an agent that starts while the
API is away.

It is a memory, not a truth: as soon as the API answers, only that counts. What is lost of it, or cannot be read, is as
if it had never been noted. Written behind the agent's back, and only when something changed that matters to a start:
flash lives longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Collection
from pathlib import Path

import msgspec

from apiserver.api.core.pod import Pod, PodStatus

log = logging.getLogger(__name__)

FORMAT = 1
FILE_BYTES_MAX = 4 << 20  # more than the API takes for an object
_SUFFIX = ".json"


class _Noted(msgspec.Struct, kw_only=True):
    format: int
    pod: Pod


class Checkpoint:
    """In a folder of its own, which holds Secrets' names and plain environment: nobody else may look into it.

    `note` and `forget` are quick; `run` writes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, int] = {}  # by uid: a hash of what matters, as it was written
        self._changes: dict[str, Pod | None] = {}  # by uid: what is to be written, None: removed
        self._some = asyncio.Event()
        self._writing = threading.Lock()  # at the end a thread may still be at it

    def note(self, pod: Pod) -> None:
        uid, matters = pod.metadata.uid, _what_matters(pod)
        if self._written.get(uid) != matters:
            self._written[uid] = matters
            self._change(uid, pod)

    def forget(self, uid: str) -> None:
        """The pod is gone, and nothing of it is left here."""
        self._written.pop(uid, None)
        self._change(uid, None)

    def keep_only(self, uids: Collection[str]) -> None:
        """These are all pods there are here: others, noted by an agent before us, have gone meanwhile."""
        for path in self._folder.glob(f"*{_SUFFIX}"):
            uid = path.name.removesuffix(_SUFFIX)
            if uid not in uids:
                self.forget(uid)

    def load(self) -> list[Pod]:
        """Those that were noted. What cannot be read is told of and removed."""
        found = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                pod = _decode(path)
            except (OSError, ValueError) as error:
                log.warning("a pod's checkpoint is of no use", extra={"file": str(path), "error": str(error)})
                path.unlink(missing_ok=True)
                continue
            self._written[pod.metadata.uid] = _what_matters(pod)
            found.append(pod)
        return found

    async def run(self) -> None:
        """Until it is cancelled; what was noted by then is written."""
        try:
            while True:
                await self._some.wait()
                await asyncio.to_thread(self._write_changes)
        finally:
            self._write_changes()

    def _change(self, uid: str, pod: Pod | None) -> None:
        self._changes[uid] = pod
        self._some.set()

    def _write_changes(self) -> None:
        with self._writing:
            self._some.clear()
            changes, self._changes = self._changes, {}
            self._write(changes)

    def _write(self, changes: dict[str, Pod | None]) -> None:
        for uid, pod in changes.items():
            path = self._folder / f"{uid}{_SUFFIX}"
            try:
                if pod is None:
                    path.unlink(missing_ok=True)
                else:
                    self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    _replace(path, msgspec.json.encode(_Noted(format=FORMAT, pod=pod)))
            except OSError as error:
                log.warning("a pod was not noted", extra={"file": str(path), "error": error.strerror})


def _what_matters(pod: Pod) -> int:
    """Not its status, but for what has ended: the runtime knows better how it is."""
    meta = msgspec.structs.replace(pod.metadata, resource_version="", managed_fields=[])
    told = PodStatus(phase=pod.status.phase, start_time=pod.status.start_time)
    return hash(msgspec.json.encode(msgspec.structs.replace(pod, metadata=meta, status=told)))


def _replace(path: Path, data: bytes) -> None:
    """Not synced: what a lost power leaves of it is seen when it is read."""
    part = path.with_name(f"{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    part.replace(path)


def _decode(path: Path) -> Pod:
    """Raises OSError, ValueError."""
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise ValueError("it is too large")
    noted = msgspec.json.decode(data, type=_Noted)
    if noted.format != FORMAT:
        raise ValueError(f"it has format {noted.format}; this agent knows format {FORMAT}")
    if noted.pod.metadata.uid != path.name.removesuffix(_SUFFIX):
        raise ValueError("it is of another pod")
    return noted.pod
