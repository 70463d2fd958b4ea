"""Images that nobody uses go when their disk fills up: the longest unused first, until there is room again.

The limits are the kubelet's: it begins at 85 % and ends at 80 %, and leaves an image alone for two minutes after it was
used or came. Built-in images stay: they cannot be had again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from nodeagent.runtime.interface import Container, Image, RuntimeFailure, Unavailable
from nodeagent.starting import BUILT_IN

from .unused import Unused

log = logging.getLogger(__name__)


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of the disk, and seconds."""

    begin_at: float = 0.85
    end_at: float = 0.80
    every_s: float = 300.0
    age_s: float = 120.0


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes, of those that may be used."""

    total: int
    used: int


class Images(Protocol):
    """What is needed of a runtime."""

    async def list_images(self) -> Iterable[Image]: ...

    async def list_containers(self) -> Iterable[Container]: ...

    async def remove_image(self, image_id: str) -> None: ...


def disk_of(folder: Path) -> Disk:
    """Raises OSError."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    return Disk(total=used + free, used=used)


class ImageCollector:
    """`run` until it is cancelled."""

    def __init__(self, images: Images, disk: Callable[[], Disk], *, options: ImageOptions | None = None) -> None:
        self._images = images
        self._disk = disk
        self._options = options or ImageOptions()
        self._unused: Unused[str] = Unused()

    async def run(self) -> None:
        while True:
            try:
                await self.collect()
            except (RuntimeFailure, OSError) as error:
                log.warning("images were not looked through", extra={"error": str(error)})
            await asyncio.sleep(self._options.every_s)

    async def collect(self) -> int:
        """How many bytes went. Raises RuntimeFailure, OSError."""
        now = asyncio.get_running_loop().time()
        unused = await self._look(now)
        disk = await asyncio.to_thread(self._disk)
        if disk.used < disk.total * self._options.begin_at:
            return 0
        wanted = disk.used - int(disk.total * self._options.end_at)
        freed = 0
        for image_id in self._unused.for_at_least(self._options.age_s, now):
            if freed >= wanted:
                break
            try:
                await self._images.remove_image(image_id)
            except Unavailable:
                raise
            except RuntimeFailure as error:  # the others may go all the same
                log.warning("an image was not removed", extra={"image": image_id, "error": error.message})
                continue
            freed += unused[image_id].size_bytes
            log.info("an image that nobody uses was removed", extra={"image": unused[image_id].names or image_id})
        if freed < wanted:
            log.warning("the disk of images is full of what is used", extra={"wanted": wanted, "freed": freed})
        return freed

    async def _look(self, now: float) -> dict[str, Image]:
        """Those that nobody uses, by id."""
        images = await self._images.list_images()
        containers = list(await self._images.list_containers())
        used = {each.image_id for each in containers} | {each.image for each in containers}
        unused = {each.id: each for each in images if not _is_used(each, used)}
        self._unused.seen(unused, now)
        return unused


def _is_used(image: Image, used: set[str]) -> bool:
    built_in = any(name.startswith(BUILT_IN) for name in image.names)
    return built_in or image.id in used or not used.isdisjoint(image.names)
