"""Images from archives into containerd, through its own API: the CRI has no call for that, and no program is needed.

Blobs go in under a lease, so that none is collected before the image names them. containerd's CRI half hears of the new
name by itself; we wait until it has. What is there already is left as it is.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from typing import IO

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from .archives import Archive, ArchivedImage, BadArchive, Blob
from .cri import CriRuntime
from .gen import content_pb2, descriptor_pb2, image_pb2, leases_pb2
from .interface import ImageFailure, NotThere

log = logging.getLogger(__name__)

SEEN_WITHIN_S = 60.0
ASK_EVERY_S = 0.02
BLOB_WITHIN_S = 600.0
LEASE_HOURS = 1
_NAMESPACE = ("containerd-namespace", "k8s.io")
_CONTENT = "/containerd.services.content.v1.Content/"
_IMAGES = "/containerd.services.images.v1.Images/"
_LEASES = "/containerd.services.leases.v1.Leases/"


async def import_archive(runtime: CriRuntime, file: IO[bytes]) -> list[str]:
    """The names of the images in an open archive, all of which are there now. Raises RuntimeFailure."""
    try:
        archive = await asyncio.to_thread(Archive, file)
        images = await asyncio.to_thread(archive.images)
        async with _Lease(runtime) as lease:
            for image in images:
                await lease.store(archive, image)
    except BadArchive as error:
        raise ImageFailure(f"no archive of images: {error}") from error
    for image in images:
        await _wait_seen(runtime, image.name)
    return [image.name for image in images]


async def _wait_seen(runtime: CriRuntime, name: str) -> None:
    try:
        async with asyncio.timeout(SEEN_WITHIN_S):
            while await runtime.image(name) is None:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        raise ImageFailure(f"the image {name} was imported, but the runtime does not see it") from None


class _Lease:
    """What is stored in it is not collected while it is entered."""

    def __init__(self, runtime: CriRuntime) -> None:
        self._connection = runtime.connection
        self._id = f"kmini-{secrets.token_hex(8)}"
        self._headers = (_NAMESPACE, ("containerd-lease", self._id))

    async def __aenter__(self) -> _Lease:
        expires = _after(LEASE_HOURS)  # whatever becomes of us
        request = leases_pb2.CreateRequest(id=self._id, labels={"containerd.io/gc.expire": expires})
        await self._connection.call(_LEASES + "Create", request, leases_pb2.CreateResponse, headers=[_NAMESPACE])
        return self

    async def __aexit__(self, *_: object) -> None:
        request = leases_pb2.DeleteRequest(id=self._id)
        await self._connection.call(_LEASES + "Delete", request, Empty, headers=[_NAMESPACE])

    async def store(self, archive: Archive, image: ArchivedImage) -> None:
        """Raises RuntimeFailure, BadArchive."""
        target = descriptor_pb2.Descriptor(
            media_type=image.target.media_type, digest=image.target.digest, size=image.target.size
        )
        made = image_pb2.Image(name=image.name, target=target)
        known = await self._known(image.name)
        if known is not None and known.target.digest == target.digest:
            return
        for blob in image.blobs:
            await self._store(archive, blob)
        if known is None:
            created = image_pb2.CreateImageRequest(image=made)
            await self._connection.call(
                _IMAGES + "Create", created, image_pb2.CreateImageResponse, headers=self._headers
            )
        else:
            updated = image_pb2.UpdateImageRequest(image=made, update_mask=FieldMask(paths=["target"]))
            await self._connection.call(
                _IMAGES + "Update", updated, image_pb2.UpdateImageResponse, headers=self._headers
            )
        log.info("an image was imported", extra={"image": image.name, "digest": target.digest})

    async def _known(self, name: str) -> image_pb2.Image | None:
        request = image_pb2.GetImageRequest(name=name)
        try:
            found = await self._connection.call(
                _IMAGES + "Get", request, image_pb2.GetImageResponse, headers=self._headers
            )
        except NotThere:
            return None
        return found.image

    async def _store(self, archive: Archive, blob: Blob) -> None:
        info = content_pb2.InfoRequest(digest=blob.digest)
        try:
            await self._connection.call(_CONTENT + "Info", info, content_pb2.InfoResponse, headers=self._headers)
            return
        except NotThere:
            pass
        pieces = _Pieces(archive, blob, f"{self._id}-{blob.digest}")
        method = _CONTENT + "Write"
        await self._connection.exchange(
            method, pieces.requests(), content_pb2.WriteContentResponse, within_s=BLOB_WITHIN_S, headers=self._headers
        )
        if pieces.failure is not None:
            raise pieces.failure


class _Pieces:
    """A blob as requests: all of it, then the wish to keep it under its digest, which containerd checks.

    A failure ends it without that wish and is kept: raised in there, it would look as if the task were cancelled.
    """

    def __init__(self, archive: Archive, blob: Blob, reference: str) -> None:
        self.failure: BadArchive | None = None
        self._chunks = archive.chunks(blob)
        self._blob = blob
        self._reference = reference

    async def requests(self) -> AsyncIterator[content_pb2.WriteContentRequest]:
        blob, offset = self._blob, 0
        while piece := await asyncio.to_thread(self._next):
            yield content_pb2.WriteContentRequest(
                action=content_pb2.WRITE, ref=self._reference, total=blob.size, offset=offset, data=piece
            )
            offset += len(piece)
        if self.failure is None:
            yield content_pb2.WriteContentRequest(
                action=content_pb2.COMMIT,
                ref=self._reference,
                total=blob.size,
                expected=blob.digest,
                offset=offset,
                labels=blob.labels,
            )

    def _next(self) -> bytes:
        try:
            return next(self._chunks, b"")
        except BadArchive as error:
            self.failure = error
            return b""


def _after(hours: int) -> str:
    import datetime

    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
