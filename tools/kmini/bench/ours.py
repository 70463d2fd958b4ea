"""Our side: three processes of `runner`, each told what to do in JSON lines over a socket pair.

The loads "in process" run inside the leader's process (`loads`); the rest of the figures are taken from
outside, in the same way as etcd's.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apiserver.auth import pki

from .process import Daemon, Memory, cpu_s, free_ports, memory, written_bytes
from .side import MEMBERS, Latency, Rate
from .within import within

_START_TIMEOUT_S = 30.0
_RESTART_TIMEOUT_S = 60.0
_LOAD_TIMEOUT_S = 300.0
_SETTLE_S = 0.5
_POLL_S = 0.05
_ANSWER_BYTES_MAX = 16 * 1024 * 1024  # a line: the latencies of one load


class RunnerFailed(Exception):
    """A runner answered an error or hung up."""


class Runner:
    """One member's process and the line to it; one question at a time."""

    def __init__(self, daemon: Daemon, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.daemon = daemon
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def launch(cls, name: str, settings: Path, log: Path) -> Runner:
        """Start the process; `ask("opened")` answers once its store is open."""
        near, far = socket.socketpair()
        with far:
            command = [sys.executable, "-m", "kmini.bench.runner", str(settings)]
            daemon = Daemon(name, command, log, control=far, environment={"PYTHONPATH": os.pathsep.join(sys.path)})
        reader, writer = await asyncio.open_connection(sock=near, limit=_ANSWER_BYTES_MAX)
        return cls(daemon, reader, writer)

    async def ask(self, what: str, *, timeout_s: float = _LOAD_TIMEOUT_S, **arguments: Any) -> Any:
        """The answer to one question. Raises RunnerFailed, ProcessDied or TimeoutError."""
        async with self._turn:
            try:
                self._writer.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
                line = await within(self._reader.readline(), timeout_s)
            except ConnectionError:
                line = b""
        if not line:
            await asyncio.sleep(_POLL_S)  # its exit follows its hanging up
            self.daemon.check()
            raise RunnerFailed(f"{self.daemon.name} hung up on {what}")
        answer = json.loads(line)
        if "error" in answer:
            raise RunnerFailed(f"{self.daemon.name}: {what}: {answer['error']}")
        return answer["ok"]

    def kill(self) -> None:
        self.daemon.kill()
        self._writer.close()

    async def stop(self) -> None:
        self._writer.close()
        await self.daemon.stop()


class OurCluster:
    """`Cluster` of ours, with mTLS between members and the product's defaults for everything else."""

    name = "ours"

    def __init__(self) -> None:
        self._settings: list[Path] = []
        self._face_ports: list[int] = []
        self._members: list[Runner] = []

    # --- processes --------------------------------------------------------------------------------

    async def start(self, folder: Path) -> None:
        self._prepare(folder)
        self._members = []
        for index in range(MEMBERS):
            self._members.append(await self._launch(index))
        await self._opened()

    def _prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        pki.init_shared(folder / "ca")  # what all members share: their authorities
        ports = free_ports(2 * MEMBERS)
        peer_ports, self._face_ports = ports[:MEMBERS], ports[MEMBERS:]
        peers = {f"m{index}": f"127.0.0.1:{port}" for index, port in enumerate(peer_ports)}
        self._settings = []
        for name, face_port in zip(peers, self._face_ports, strict=True):
            path = folder / f"{name}.json"
            settings = {"name": name, "folder": str(folder), "peers": peers, "face_port": face_port}
            path.write_text(json.dumps(settings))
            self._settings.append(path)

    async def _launch(self, index: int) -> Runner:
        path = self._settings[index]
        return await Runner.launch(f"ours {path.stem}", path, path.with_suffix(".log"))

    async def _opened(self) -> None:
        """Every member is open and has caught up: it answers a linearizable read."""
        await asyncio.gather(*(self._caught_up(member) for member in self._members))

    async def _caught_up(self, member: Runner) -> None:
        await member.ask("opened", timeout_s=_START_TIMEOUT_S)
        end = time.monotonic() + _START_TIMEOUT_S
        while not await member.ask("answers", timeout_s=_START_TIMEOUT_S):
            if time.monotonic() > end:
                raise TimeoutError(f"{member.daemon.name} did not catch up in {_START_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        await asyncio.gather(*(member.stop() for member in self._members))

    async def _leader(self) -> int:
        """The leader's place in the list. Raises TimeoutError when none is found."""
        end = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < end:
            for index, member in enumerate(self._members):
                if await member.ask("leads", timeout_s=_START_TIMEOUT_S):
                    return index
            await asyncio.sleep(_POLL_S)
        raise TimeoutError("our cluster has no leader")

    async def _ask_leader(self, what: str, **arguments: Any) -> Any:
        return await self._members[await self._leader()].ask(what, **arguments)

    # --- measurements, in process -----------------------------------------------------------------

    async def put_latency(self, duration_s: float) -> Latency:
        return Latency(samples_s=await self._ask_leader("put_latency", duration_s=duration_s))

    async def put_rate(self, duration_s: float) -> Rate:
        return Rate(rate=await self._ask_leader("put_rate", duration_s=duration_s))

    async def get_rate(self, duration_s: float) -> Rate:
        return Rate(rate=await self._ask_leader("get_rate", duration_s=duration_s))

    async def fill(self, prefix: bytes, count: int) -> Rate:
        return Rate(rate=await self._ask_leader("fill", prefix=prefix.decode(), count=count))

    async def range_latency(self, duration_s: float) -> Latency:
        return Latency(samples_s=await self._ask_leader("range_latency", duration_s=duration_s))

    async def watch_latency(self, events: int) -> Latency:
        return Latency(samples_s=await self._ask_leader("watch_latency", events=events))

    # --- measurements, from outside ---------------------------------------------------------------

    async def leader_port(self) -> int:
        return self._face_ports[await self._leader()]

    async def fail_over(self) -> float:
        leader = await self._leader()
        survivors = [member for index, member in enumerate(self._members) if index != leader]
        begin = time.monotonic()
        self._members[leader].kill()
        first = await _first_put(survivors, timeout_s=_START_TIMEOUT_S)
        self._members[leader] = await self._launch(leader)
        await self._caught_up(self._members[leader])
        await asyncio.sleep(_SETTLE_S)
        return first - begin

    async def restart(self) -> float:
        for member in self._members:
            member.kill()
        begin = time.monotonic()
        self._members = [await self._launch(index) for index in range(MEMBERS)]
        first = await _first_put(self._members, timeout_s=_RESTART_TIMEOUT_S)
        await self._opened()
        return first - begin

    def memory(self) -> list[Memory]:
        return [memory(member.daemon.pid) for member in self._members]

    def written_bytes(self) -> int:
        return sum(written_bytes(member.daemon.pid) for member in self._members)

    def cpu_s(self) -> float:
        return sum(cpu_s(member.daemon.pid) for member in self._members)


async def _first_put(members: Sequence[Runner], *, timeout_s: float) -> float:
    """When the first of these members acknowledged a put; all of them try."""

    async def probe(member: Runner) -> float:
        await member.ask("opened", timeout_s=timeout_s)
        return float(await member.ask("first_put", timeout_s=timeout_s + _SETTLE_S, limit_s=timeout_s))

    return min(await asyncio.gather(*(probe(member) for member in members)))
