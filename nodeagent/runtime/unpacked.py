"""Layers that were unpacked but may not be on the disk yet, and what becomes of them when the power goes.

containerd notes, synced, that it has unpacked a layer; the layer's files it does not sync. When the power goes within
the half minute that the kernel takes to write them, files are empty while the note says that all is there, and no
container of that image ever starts again. So a mark is on the disk before anything is unpacked, and goes once the files
are synced. Who starts with that mark there and finds nothing running takes all unpacked layers away: they are unpacked
anew from the blobs, which containerd does sync.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from google.protobuf.empty_pb2 import Empty

from nodeagent.errors import AgentError
from nodeagent.identity import write_file

from .gen import snapshots_pb2 as pb
from .interface import NotThere, RuntimeFailure
from .rpc import Connection
from .snapshotter import snapshotter_for

log = logging.getLogger(__name__)

LIST_WITHIN_S = 60.0
_SNAPSHOTS = "/containerd.services.snapshots.v1.Snapshots/"
_NAMESPACE = [("containerd-namespace", "k8s.io")]


class UnpackedLayers:
    """`root` is containerd's; the mark lies beside it."""

    def __init__(self, connection: Connection, root: Path) -> None:
        self._connection = connection
        self._root = root
        self._mark = root.with_name("unpacking")
        self._synced: set[str] = set()  # images that were unpacked and synced since we started
        self._under_way = 0
        self._in_doubt = self._mark.exists()  # something failed in between, and may have left what is not synced
        self._marking = asyncio.Lock()

    @asynccontextmanager
    async def of(self, image: str) -> AsyncIterator[None]:
        """While this is entered the image may be unpacked; afterwards it is on the disk. Raises RuntimeFailure."""
        if image in self._synced:
            yield
            return
        async with self._marked():
            yield
            await self._sync(image)

    async def pulled(self, pull: Callable[[], Awaitable[str]]) -> str:
        """The image that it gives, which is on the disk then. A name may lead to another image than the last time, so
        which one is to be unpacked is known only afterwards. Raises RuntimeFailure, and what `pull` raises."""
        async with self._marked():
            image = await pull()
            if self._in_doubt or image not in self._synced:
                await self._sync(image)
        return image

    @asynccontextmanager
    async def _marked(self) -> AsyncIterator[None]:
        self._under_way += 1
        try:
            async with self._marking:
                if not self._mark.exists():
                    await asyncio.to_thread(_write, self._mark)
            yield
        except BaseException:
            self._in_doubt = True
            raise
        finally:
            self._under_way -= 1
        if not self._under_way and not self._in_doubt:
            self._mark.unlink(missing_ok=True)

    async def _sync(self, image: str) -> None:
        self._in_doubt = False  # it is for that too; what fails from now on is in doubt again
        await asyncio.to_thread(_sync, self._root)
        self._synced.add(image)

    def forget(self) -> None:
        """An image was removed: which layers went with it is not told, and what is unpacked anew is not synced yet."""
        self._synced.clear()

    async def check(self, *, runs: bool, remove_dead: Callable[[], Awaitable[None]]) -> None:
        """Once, before anything is unpacked. `runs`: some container does, so that the power was never away.
        `remove_dead` removes containers, none of which runs. Raises RuntimeFailure."""
        if not self._mark.exists():
            return
        if runs:
            await asyncio.to_thread(_sync, self._root)
        else:
            log.warning("images are unpacked anew: the power may have gone while they were unpacked")
            await remove_dead()
            await self._remove_all()
        self._mark.unlink(missing_ok=True)
        self._in_doubt = False

    async def _remove_all(self) -> None:
        """Those that no other one lies on first. What is held by somebody stays."""
        snapshotter = await asyncio.to_thread(snapshotter_for, self._root)
        held: set[str] = set()
        while True:
            found = await self._list(snapshotter)
            below = {each.parent for each in found}
            tops = [each.name for each in found if each.name not in below and each.name not in held]
            if not tops:
                return
            for name in tops:
                held.add(name)  # asked once
                await self._remove(snapshotter, name)

    async def _list(self, snapshotter: str) -> list[pb.Info]:
        request = pb.ListSnapshotsRequest(snapshotter=snapshotter)
        answers = await self._connection.collect(
            _SNAPSHOTS + "List", request, pb.ListSnapshotsResponse, within_s=LIST_WITHIN_S, headers=_NAMESPACE
        )
        return [each for answer in answers for each in answer.info]

    async def _remove(self, snapshotter: str, name: str) -> None:
        request = pb.RemoveSnapshotRequest(snapshotter=snapshotter, key=name)
        try:
            await self._connection.call(_SNAPSHOTS + "Remove", request, Empty, headers=_NAMESPACE)
        except NotThere:
            log.debug("a layer went by itself", extra={"layer": name})


def _write(mark: Path) -> None:
    try:
        write_file(mark, b"layers are being unpacked\n")
    except AgentError as error:
        raise RuntimeFailure(str(error)) from error


def _sync(folder: Path) -> None:
    """The whole filesystem that the folder is on. Raises RuntimeFailure."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RuntimeFailure(f"cannot sync {folder}: {error.strerror}") from error
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise RuntimeFailure(f"cannot sync {folder}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)
