"""A place for real containers: a network namespace and a folder of the test's own; nothing is left of it afterwards."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from kmini.agent_runtime import RuntimeSettings, make_containerd, make_runtime
from kmini.images import ImageError, sample_archive

from nodeagent.errors import AgentError
from nodeagent.runtime.cgroups import groups, hierarchies
from nodeagent.runtime.containerd_config import find_programs
from nodeagent.runtime.teardown import force, tear_down

_CLONE_NEWNET = 0x40000000
_TEMPORARY = "/tmp"  # short: paths of sockets are


def missing() -> str:
    """Why there can be no containers here; "" when there can."""
    if os.geteuid() != 0:
        return "real containers need root"
    if shutil.which("ip") is None:
        return "real containers need iproute2"
    try:
        find_programs()
        sample_archive()
    except (AgentError, ImageError) as error:
        return str(error)
    if not any(os.access(each, os.W_OK) for each in hierarchies()):
        return "real containers need control groups that can be written to"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return f"real containers need network namespaces: {made.stderr.strip()}" if made.returncode else ""


class Host:
    """`name` is also the node's and its control group's."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.settings = RuntimeSettings(
            node=name, folder=folder / "agent", images=folder / "images", socket=None, group=f"/{name}"
        )

    @property
    def groups(self) -> list[Path]:
        """Those that are there."""
        return [each for each in groups(self.settings.group) if each.exists()]

    def tear_down(self) -> None:
        asyncio.run(self._tear_down())

    async def _tear_down(self) -> None:
        runtime = make_runtime(self.settings)
        containerd = make_containerd(self.settings, runtime)
        try:
            folder = self.settings.layout.folder
            if folder.exists():
                await tear_down(runtime, containerd, group=self.settings.group, folder=folder)
        finally:
            await runtime.close()


@contextmanager
def container_host() -> Iterator[Host]:
    """This thread, and what it starts, is in the host's network meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="kmini-", dir=_TEMPORARY))
    host = Host(folder.name.replace("_", "x").lower(), folder)
    with own_network():
        try:
            yield host
        finally:
            try:
                host.tear_down()
            finally:
                force(group=host.settings.group, folder=folder)
                shutil.rmtree(folder)


@contextmanager
def own_network() -> Iterator[None]:
    """Without a name: it ends with the last process in it."""
    with _grpc_stays_here(), _elsewhere():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield


@contextmanager
def _grpc_stays_here() -> Iterator[None]:
    """Its threads are the whole process's, and each starts the next: were the first one started elsewhere, tests long
    after this one would connect from a network that is gone. A call that fails starts what there is to start.
    """
    tried = threading.Event()
    channel = grpc.insecure_channel(f"unix:{os.devnull}")
    channel.subscribe(
        lambda state: tried.set() if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE else None, try_to_connect=True
    )
    try:
        assert tried.wait(60), "gRPC tries to connect"
        yield
    finally:
        channel.close()


@contextmanager
def _elsewhere() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert libc.unshare(_CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(before, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(before)
