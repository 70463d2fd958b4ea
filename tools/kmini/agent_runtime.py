"""The runtime of a node agent as its process needs it: found or started, with the images that every node has.

A node's containerd lies in DIR/agent/containerd.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from nodeagent.errors import AgentError
from nodeagent.network.cni import BRIDGE, MTU
from nodeagent.runtime import cgroups
from nodeagent.runtime.containerd import PrivateContainerd
from nodeagent.runtime.containerd_config import SANDBOX_IMAGE, Layout, find_programs
from nodeagent.runtime.cri import CriRuntime, CriSettings
from nodeagent.runtime.imports import import_archive
from nodeagent.runtime.interface import RuntimeFailure, Unavailable

from .errors import CommandError
from .images import ImageError, pause_archive, sample_archive

log = logging.getLogger("kmini.agent")


class RuntimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`folder`: the agent's; `images`: archives in it are imported; `socket`: of a containerd that is not ours;
    `group`: the node's control group, named from the top."""

    node: str
    folder: Path
    images: Path
    socket: Path | None
    group: str

    @property
    def layout(self) -> Layout:
        return Layout(self.folder / "containerd")


def make_runtime(settings: RuntimeSettings) -> CriRuntime:
    """Not connected yet. Of whatever answers on the socket."""
    layout = settings.layout
    return CriRuntime(
        CriSettings(
            node=settings.node,
            socket=settings.socket or layout.socket,
            logs=settings.folder / "logs",
            cgroup_parent=f"{settings.group}/kubepods",
            cni=None if settings.socket else layout.cni,
            leases=settings.folder / "addresses",
            layers=None if settings.socket else layout.root,
            bridge=BRIDGE,
            mtu=MTU,
        )
    )


def make_containerd(settings: RuntimeSettings, runtime: CriRuntime) -> PrivateContainerd:
    """Raises AgentError when something that it needs is missing."""
    if os.geteuid() != 0:
        raise AgentError("containers need root: run it as root, or use --runtime fake")
    groups = cgroups.joinable(f"{settings.group}/containerd")
    return PrivateContainerd(settings.layout, find_programs(), groups=groups, answers=runtime.answers)


@asynccontextmanager
async def open_runtime(settings: RuntimeSettings) -> AsyncIterator[CriRuntime]:
    """It answers and has its images; a containerd of our own is kept running meanwhile. Raises CommandError."""
    runtime = make_runtime(settings)
    try:
        if settings.socket is not None:
            await _images(runtime, settings)
            yield runtime
            return
        containerd = make_containerd(settings, runtime)
        await containerd.ensure()
        await runtime.check_layers()
        await _images(runtime, settings)
        async with _kept_running(containerd):
            yield runtime
    except (AgentError, RuntimeFailure) as error:
        raise CommandError(str(error)) from error
    finally:
        await runtime.close()


@asynccontextmanager
async def _kept_running(containerd: PrivateContainerd) -> AsyncIterator[None]:
    """Errors come out as they are; that nobody keeps it running any more is one."""
    owner = asyncio.current_task()
    keeping = asyncio.create_task(containerd.run(), name="containerd")

    def over(_: asyncio.Task[None]) -> None:
        if owner is not None and not keeping.cancelled():
            owner.cancel()

    keeping.add_done_callback(over)
    try:
        yield
    except asyncio.CancelledError:
        if owner is not None and keeping.done() and not keeping.cancelled():
            owner.uncancel()
            keeping.result()
        raise
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _images(runtime: CriRuntime, settings: RuntimeSettings) -> None:
    """Built-in ones must be there, but for the sample; an archive of somebody's that is bad is told of and left. A disk
    that is full keeps no node from its work that has them."""
    try:
        await import_archive(runtime, io.BytesIO(pause_archive()))
    except RuntimeFailure as error:
        if isinstance(error, Unavailable) or await runtime.image(SANDBOX_IMAGE) is None:
            raise
        log.warning("the sandboxes' image is the one that was there", extra={"reason": error.message})
    try:
        await import_archive(runtime, io.BytesIO(await asyncio.to_thread(sample_archive)))
    except (ImageError, RuntimeFailure) as error:
        log.warning("there is no sample image, or not this version's", extra={"reason": str(error)})
    for path in sorted(settings.images.glob("*.tar*")) if settings.images.is_dir() else []:
        try:
            with path.open("rb") as file:
                names = await import_archive(runtime, file)
            log.info("images were imported", extra={"archive": str(path), "images": names})
        except (OSError, RuntimeFailure) as error:
            log.error("an archive was not imported", extra={"archive": str(path), "error": str(error)})
