"""PersistentVolumes that are folders of this node, on their way out: the folder goes first, then the object may.

Such volumes have the node's finalizer since their folder was made. It is taken away for policy Delete when the folder
is removed, for any other at once, for then the data stays. Nothing is removed that was not made for this very volume,
nor while a pod here still has it. Without the API nothing happens.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from apiserver.api.core.persistent_volumes import PersistentVolume
from apiserver.api.errors import ApiError, NotFound
from apiserver.api.node_folders import FINALIZER, NODE_LABEL, label_of, own_folder
from apiserver.client import Change, Client, Informer

from .files_work import in_thread
from .folders import PodFolders
from .removing import remove_tree

log = logging.getLogger(__name__)

AGAIN_S = 10.0  # for what is still in use, or could not be removed
_PROTECTION = "kubernetes.io/pv-protection"  # the control plane's: it is bound


class Reclaimer:
    def __init__(self, client: Client, node: str, folders: PodFolders) -> None:
        self._client = client
        self._folders = folders
        self._volumes = Informer(client, PersistentVolume, labels={NODE_LABEL: label_of(node)}, trim=_trimmed)
        self._volumes.add_handler(self._changed)
        self._news = asyncio.Event()

    async def run(self) -> None:
        async with self._volumes:
            while True:
                again_s = await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(again_s):
                        await self._news.wait()
                self._news.clear()

    async def _look(self) -> float | None:
        """When to look again, when nothing happens before."""
        left = 0
        for volume in list(self._volumes.cache):
            if not is_to_go(volume):
                continue
            try:
                left += not await self._let_go(volume)
            except (ApiError, OSError) as error:
                left += 1
                log.warning("a volume cannot go yet", extra={"volume": volume.metadata.name, "reason": str(error)})
        return AGAIN_S if left else None

    async def _let_go(self, volume: PersistentVolume) -> bool:
        """Whether it is done. Raises ApiError, OSError."""
        meta = volume.metadata
        if await in_thread(self._folders.is_claimed, meta.name):
            return False
        path = own_folder(volume)
        if volume.spec.persistent_volume_reclaim_policy == "Delete" and path:
            await in_thread(remove_tree, Path(path))
            log.info("the folder of a volume is removed", extra={"volume": meta.name, "path": path})
        left = [each for each in meta.finalizers if each != FINALIZER]
        change = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": left}}
        with suppress(NotFound):
            await self._client.patch(PersistentVolume, meta.name, change)
        return True

    def _changed(self, _: Change[PersistentVolume]) -> None:
        self._news.set()


def is_to_go(volume: PersistentVolume) -> bool:
    """Somebody deleted it, nothing is bound to it, and it waits for its node."""
    meta = volume.metadata
    return (
        meta.deletion_timestamp is not None
        and FINALIZER in meta.finalizers
        and _PROTECTION not in meta.finalizers
        and volume.status.phase != "Bound"
    )


def _trimmed(volume: PersistentVolume) -> PersistentVolume:
    volume.metadata.managed_fields = []
    return volume
