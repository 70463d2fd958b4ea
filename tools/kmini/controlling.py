"""Controllers and scheduler of a server: in its process, in a child's, or left to others (`--controllers`).

They are clients of this server's own API, with a certificate of their own, wherever they run. In the server's process
they lead by right where Raft leads: their writes then have the shortest way, a new leader's controllers begin at once,
and nothing has to be renewed. A child campaigns like any other candidate, and is started again, later and later, when
it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from apiserver.auth import pki

if TYPE_CHECKING:
    from apiserver.client import Client
    from apiserver.server import ApiServer
    from controlplane.runtime.manager import Manager
    from controlplane.runtime.metrics import Metrics
    from controlplane.runtime.options import Options

log = logging.getLogger("kmini.controllers")

AGAIN_FIRST_S, AGAIN_LONGEST_S = 1.0, 30.0
STOP_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1


class Controlled(msgspec.Struct, frozen=True):
    """What `--controllers` asks for. `without` names controllers that are left out."""

    where: Literal["in-process", "child", "none"] = "in-process"
    without: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Controlled:
        """`in-process`, `child` or `none`, and after commas `-name` for each one to leave out. Raises ValueError."""
        words = [word.strip() for word in text.split(",")]
        where = "in-process" if words[0].startswith("-") else words.pop(0)
        if where not in ("in-process", "child", "none"):
            raise ValueError(f"{where!r} is none of in-process, child, none, -NAME")
        without = []
        for word in words:
            if not word.startswith("-") or len(word) < 2:
                raise ValueError(f"{word!r} is not -NAME, which leaves a controller out")
            without.append(word[1:])
        if without:
            from controlplane.controllers import makers

            makers(without=without)
        return cls(where, tuple(without))  # type: ignore[arg-type]  # one of three, as just checked

    def __str__(self) -> str:
        return ",".join([self.where, *(f"-{name}" for name in self.without)])


class ControlledType(click.ParamType[Controlled]):
    name = "in-process|child|none|-name,..."

    def convert(self, value: str | Controlled, param: click.Parameter | None, ctx: click.Context | None) -> Controlled:
        try:
            return value if isinstance(value, Controlled) else Controlled.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server's controllers find it. `folder` is DIR/pki, `leads` whether its replica is Raft's leader."""

    controlled: Controlled
    name: str
    url: str
    folder: Path
    leads: Callable[[], bool]
    options: Options


@asynccontextmanager
async def controllers(setting: Setting, api: ApiServer) -> AsyncIterator[None]:
    """The controllers of a server run as long as this is open; what they hold is released at its end."""
    if setting.controlled.where == "none":
        yield
        return
    work = _in_process(setting, api) if setting.controlled.where == "in-process" else partial(_child, setting)
    task = asyncio.create_task(_again_and_again(work), name="controllers")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """Later and later, unless it lasted: however it ended, the server goes on, and its log says why."""
    now, wait_s = asyncio.get_running_loop().time, AGAIN_FIRST_S
    while True:
        began = now()
        try:
            await work()
        except Exception:
            log.exception("the controllers ended, and begin anew")
        wait_s = AGAIN_FIRST_S if now() - began > AGAIN_LONGEST_S else min(2 * wait_s, AGAIN_LONGEST_S)
        await asyncio.sleep(wait_s)


def _in_process(setting: Setting, api: ApiServer) -> Callable[[], Awaitable[None]]:
    from apiserver.client import Access, Client, Material
    from apiserver.client.access import Credentials
    from apiserver.client.http import HttpTransport
    from controlplane.runtime.metrics import Metrics

    from .local_transport import LocalTransport

    folder = setting.folder
    access = Access(
        servers=(setting.url,),
        authority=Material(file=folder / "ca.crt"),
        certificate=Material(file=folder / "controllers.crt"),
        key=Material(file=folder / "controllers.key"),
    )
    metrics = Metrics(api.registry)

    async def work() -> None:
        # of this server alone: what is asked of the others would be answered by a leader that has controllers too
        wire = HttpTransport(Credentials(access, clock=time.monotonic), user_agent="kmini-controllers")
        async with Client(access, learn=False, transport=LocalTransport(api.frontend, wire)) as client:
            await _manager(client, setting, metrics).run()

    return work


def _manager(client: Client, setting: Setting, metrics: Metrics) -> Manager:
    from controlplane.controllers import load, makers
    from controlplane.runtime.manager import Manager

    return Manager(
        client,
        makers(without=setting.controlled.without),
        identity=setting.name,
        options=setting.options,
        metrics=metrics,
        load=load,
        right=setting.leads,
    )


# --- a process of its own -------------------------------------------------------------------------------


async def _child(setting: Setting) -> None:
    """`kmini controllers` as our child, until it ends. It goes with us, however we end (`go_with_parent`)."""
    path = setting.folder.parent / "controllers.kubeconfig"
    await asyncio.to_thread(pki.write_file, path, _kubeconfig(setting), secret=True)
    command = [sys.executable, "-m", "kmini", "controllers", "--kubeconfig", str(path), "--name", setting.name]
    command += [f"--without={name}" for name in setting.controlled.without]
    command += ["--cluster-cidr", setting.options.cluster_cidr, "--service-cidr", setting.options.service_cidr]
    command += ["--parent", str(os.getpid())]
    nowhere = asyncio.subprocess.DEVNULL  # what a server prints is its own; logs go to stderr, like ours
    process = await asyncio.create_subprocess_exec(*command, stdin=nowhere, stdout=nowhere)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _end(process)
        raise
    log.error("the controllers' process ended, and is started again", extra={"code": code})


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask, so that the lease is released; then insist."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _kubeconfig(setting: Setting) -> bytes:
    """Names the certificate's files, so that a renewal needs nothing written here."""
    folder, name = setting.folder, setting.name
    cluster = {"server": setting.url, "certificate-authority": str(folder / "ca.crt")}
    user = {
        "client-certificate": str(folder / "controllers.crt"),
        "client-key": str(folder / "controllers.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": "controllers", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "controllers"}}],
        "current-context": name,
    }
    return json.dumps(config, indent=1).encode() + b"\n"


def go_with_parent(parent: int) -> None:
    """The kernel sends SIGTERM when the parent dies. Ends this process when it is dead already (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)
