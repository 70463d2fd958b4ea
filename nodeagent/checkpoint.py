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

from .noted import Noted, read_noted

log = logging.getLogger(__name__)

FORMAT = 1
FILE_BYTES_MAX = 4 << 20  # more than the API takes for an object
AGAIN_S = 30.0  # for what could not be written
_SUFFIX = ".json"


class _Noted(Noted, frozen=True, kw_only=True):
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
        """Those that were noted. What makes no sense is told of and removed."""
        found = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                pod = _decode(path)
            except (OSError, ValueError) as error:
                log.warning("a pod's checkpoint is of no use", extra={"file": str(path), "error": str(error)})
                if isinstance(error, ValueError):
                    with contextlib.suppress(OSError):
                        path.unlink()
                continue
            self._written[pod.metadata.uid] = _what_matters(pod)
            found.append(pod)
        return found

    async def run(self) -> None:
        """Until it is cancelled; what was noted by then is written."""
        written = True
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if written else AGAIN_S):
                        await self._some.wait()
                written = await asyncio.to_thread(self._write_changes)
        finally:
            self._write_changes()

    def _change(self, uid: str, pod: Pod | None) -> None:
        self._changes[uid] = pod
        self._some.set()

    def _write_changes(self) -> bool:
        """Whether all of it could be written; what could not stays to be, unless there is something newer by then."""
        failed: dict[str, Pod | None] = {}
        reason = ""
        with self._writing:
            self._some.clear()
            while self._changes:  # one by one: more may come while we write
                uid, pod = self._changes.popitem()
                try:
                    self._write(uid, pod)
                except OSError as error:
                    failed[uid], reason = pod, error.strerror or str(error)
            for uid, pod in failed.items():
                self._changes.setdefault(uid, pod)
        if failed:
            fields = {"folder": str(self._folder), "pods": len(failed), "error": reason}
            log.warning("pods were not noted: a start without the API would not know them as they are", extra=fields)
        return not failed

    def _write(self, uid: str, pod: Pod | None) -> None:
        """Raises OSError."""
        path = self._folder / f"{uid}{_SUFFIX}"
        if pod is None:
            path.unlink(missing_ok=True)
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(path, msgspec.json.encode(_Noted(format=FORMAT, pod=pod)))


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
    noted = read_noted(path, _Noted, known_format=FORMAT, bytes_max=FILE_BYTES_MAX)
    if noted.pod.metadata.uid != path.name.removesuffix(_SUFFIX):
        raise ValueError("it is of another pod")
    return noted.pod
