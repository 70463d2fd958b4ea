"""What goes on beside the workers: files follow what they were made from, folders keep to their limits, and what pods
left that nobody knows any more goes.

One pod after another, so that a node with many pods is never busy with this alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from math import ceil
from pathlib import Path
from random import Random

from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import Volume
from apiserver.api.errors import ApiError
from nodeagent.house import WARNING, EventSink, NotYet
from nodeagent.runtime.interface import PodKey
from nodeagent.status import Ending

from .empty_dir import limit_of
from .failures import CannotMount
from .files_work import in_thread
from .kinds import has_files
from .pod_volumes import OnePod, PodVolumes, used_volumes

log = logging.getLogger(__name__)

SYNC_S = 60.0  # the kubelet's
TICK_S = 5.0
MEASURE_S = 10.0
REST = 10.0  # times as long as measuring took: a tenth of a core at most
ENTRIES_MAX = 1_000_000
WAITING_BYTES_MAX = 16 * 1024 * 1024  # paths of folders that were seen and not entered yet
_BLOCK = 512  # bytes, whatever the file system's blocks are


class Keeper:
    def __init__(self, volumes: PodVolumes, events: EventSink, *, random: Random | None = None) -> None:
        self._volumes = volumes
        self._events = events
        self._random = random or Random()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for work in (self._keep_files, self._keep_limits, self._remove_orphans):
                group.create_task(work())

    # --- files --------------------------------------------------------------------------------------------

    async def _keep_files(self) -> None:
        news = self._volumes.news
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await news.wait()
            news.clear()
            for mine in list(self._volumes.pods.values()):
                due = mine.due or asyncio.get_running_loop().time() - mine.written_at >= SYNC_S
                if due and not mine.lock.locked():  # whose volumes are being made is not waited for
                    await self._write(mine)

    async def _write(self, mine: OnePod) -> None:
        """What cannot be had now stays as it was: a pod that runs is not disturbed."""
        mine.due = False
        mine.written_at = asyncio.get_running_loop().time() - self._random.random() * SYNC_S / 4
        pod = mine.pod
        for volume in filter(has_files, used_volumes(pod) if pod is not None else ()):
            if pod is not None:
                fields = {"uid": pod.metadata.uid, "volume": volume.name}
                try:
                    if await self._write_volume(mine, pod, volume):
                        log.info("files of a volume were updated", extra=fields)
                except (ApiError, CannotMount, OSError) as error:
                    log.info("files of a volume stay as they were", extra=fields | {"reason": str(error)})

    async def _write_volume(self, mine: OnePod, pod: Pod, volume: Volume) -> bool:
        """Nobody waits for us while we wait for the API, and who is released meanwhile gets nothing back."""
        kinds = self._volumes.kinds
        if not kinds.is_there(pod, volume):
            return False
        payload = await kinds.payload(pod, volume)
        async with mine.lock:
            if kinds.is_there(pod, volume):
                return await kinds.write(pod, volume, payload)
        if pod.metadata.uid not in self._volumes.pods:
            self._volumes.forget(pod.metadata.uid)  # a token may have come after it went
        return False

    # --- limits -------------------------------------------------------------------------------------------

    async def _keep_limits(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            for mine in list(self._volumes.pods.values()):
                if mine.pod is not None and mine.ending is None:
                    await self._measure(mine, mine.pod)
            await asyncio.sleep(max(MEASURE_S, REST * (loop.time() - began)))

    async def _measure(self, mine: OnePod, pod: Pod) -> None:
        for volume in used_volumes(pod):
            source, ready = volume.empty_dir, mine.ready.get(volume.name)
            place = ready.path if ready is not None else self._volumes.folders.volume(pod.metadata.uid, volume.name)
            if source is None or source.medium or not limit_of(source):
                continue
            if await in_thread(is_more_than, place, limit_of(source)):
                words = f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{source.size_limit}". '
                mine.ending = Ending("Evicted", words)
                self._events.event(pod, WARNING, mine.ending.reason, words)
                self._volumes.wake(pod.metadata.uid)

    # --- orphans ------------------------------------------------------------------------------------------

    async def _remove_orphans(self) -> None:
        """Once, as soon as it is known which pods there are; who comes later is a worker's."""
        await self._volumes.known_came.wait()
        known = set(self._volumes.known or ()) | set(self._volumes.pods)
        for uid in await in_thread(self._volumes.folders.uids):
            if uid in known or uid in self._volumes.pods:
                continue
            log.info("volumes of a pod that is gone are removed", extra={"uid": uid})
            with suppress(NotYet):
                await self._volumes.release(PodKey(namespace="", name="", uid=uid))


def is_more_than(folder: Path, limit: int) -> bool:
    """What is in it takes more of the disk, in bytes. It is counted no further than that, nor beyond ENTRIES_MAX and
    folders whose names are too much to remember. Links are not followed.

    A file of several names counts under each with its share, so nothing has to be remembered of it. It has none
    outside, where it would be missed: no container can give it one, as names do not lead from one mount to another.
    """
    waiting = [os.fsencode(folder)]
    total, left, remembered = 0, ENTRIES_MAX, len(waiting[0])
    while waiting and left > 0:
        place = waiting.pop()
        remembered -= len(place)
        with suppress(OSError), os.scandir(place) as entries:  # it may go while we look
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                left -= 1
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and remembered < WAITING_BYTES_MAX:
                    waiting.append(entry.path)
                    remembered += len(entry.path)
                total += ceil(found.st_blocks * _BLOCK / (1 if is_folder else max(1, found.st_nlink)))
                if total > limit:
                    return True
                if left <= 0:
                    break
    return False
