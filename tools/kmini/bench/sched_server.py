"""One `kmini server` with its controllers, for the scheduler's benchmark: started, filled, and its numbers read."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from . import sched_work as work
from .api_access import Hands, hands
from .api_servers import READY_TIMEOUT_S, kmini
from .process import Daemon, Memory, cpu_s, free_ports, memory, written_bytes
from .side import WorkNotDone

IN_FLIGHT = 64
LIMIT_S = 600.0
_POLL_S = 0.05
_PODS = f"/api/v1/namespaces/{work.NAMESPACE}/pods"
_STOP_S = 20.0
_BUCKET = re.compile(r"^(\w+)_bucket\{(.*?)\} (\S+)$", re.MULTILINE)
_LE = re.compile(r'le="([^"]+)"')


class SchedServer:
    """One replica, durable, with TLS and RBAC as always. It can be stopped and started again on its data."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._port = 0
        self._daemon: Daemon | None = None

    async def start(self, controllers: str) -> None:
        """`controllers` as in --controllers. Returns when the API is ready."""
        self._port, peer_port = free_ports(2)
        self.folder.mkdir(parents=True, exist_ok=True)
        command = kmini(
            "server", "--name", "s0", "--data-dir", self.folder / "data", "--bind", "127.0.0.1", "--api-port",
            self._port, "--peer-port", peer_port, "--etcd-port", 0, "--controllers", controllers,
        )  # fmt: skip
        self._daemon = Daemon("kmini", command, self.folder / "server.log", environment=self._environment)
        end = time.monotonic() + READY_TIMEOUT_S
        while not await self._answers():
            self._daemon.check()
            if time.monotonic() > end:
                raise TimeoutError(f"kmini server was not ready in {READY_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_S)

    async def _answers(self) -> bool:
        with suppress(OSError, WorkNotDone):
            async with self.admin() as admin:
                await admin.send("GET", "/readyz")
                return True
        return False

    async def stop(self) -> None:
        """May be called twice, and before it was started."""
        if self._daemon is not None:
            await self._daemon.stop(_STOP_S)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Hands]:
        pki = self.folder / "data" / "pki"
        certificate = (pki / "admin.crt", pki / "admin.key")
        async with hands(self.base, pki / "ca.crt", certificate=certificate) as admin:
            yield admin

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "data" / "kubeconfig"

    def memory(self) -> Memory:
        return memory(self._pid)

    def cpu_s(self) -> float:
        return cpu_s(self._pid)

    def written_bytes(self) -> int:
        return written_bytes(self._pid)

    def journal_bytes(self) -> int:
        """How far the journal's files are filled; they end in zeros written ahead."""
        files = sorted((self.folder / "data" / "raft").glob("**/*.journal"))
        return sum(len(file.read_bytes().rstrip(b"\0")) for file in files)

    @property
    def _pid(self) -> int:
        assert self._daemon is not None, "it was started"
        return self._daemon.pid


async def create_all(admin: Hands, path: str, objects: Iterable[dict[str, Any]]) -> dict[str, str]:
    """POST each, IN_FLIGHT at a time. Returns their uids by name."""
    waiting = iter(objects)
    uids: dict[str, str] = {}

    async def work() -> None:
        for obj in waiting:
            made = await admin.send("POST", path, msgspec.json.encode(obj))
            uids[made["metadata"]["name"]] = made["metadata"]["uid"]

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return uids


async def fill(admin: Hands, nodes: int, pods: int) -> None:
    """Nodes, the replica sets that own the pods, and the pods. `pods` is a multiple of a set."""
    await prepare(admin)
    await create_all(admin, "/api/v1/nodes", map(work.node, range(nodes)))
    sets = f"/apis/apps/v1/namespaces/{work.NAMESPACE}/replicasets"
    owners = await create_all(admin, sets, map(work.replica_set, range(pods // work.SET)))
    await create_all(admin, _PODS, (work.pod(number, owners) for number in range(pods)))


async def prepare(admin: Hands) -> None:
    await admin.send("POST", "/api/v1/namespaces", {"metadata": {"name": work.NAMESPACE}}, also=(409,))
    account = {"metadata": {"name": "default"}}
    await admin.send("POST", f"/api/v1/namespaces/{work.NAMESPACE}/serviceaccounts", account, also=(409,))


class Numbers:
    """A moment's /metrics."""

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    async def read(cls, admin: Hands) -> Numbers:
        answer = await admin.send("GET", "/metrics")
        return cls(answer.decode() if isinstance(answer, bytes) else json.dumps(answer))

    def value(self, name: str) -> float:
        """The sum over all labels; 0 when it is not there."""
        found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", self._text, re.MULTILINE)
        return sum(map(float, found))

    def buckets(self, name: str, labels: str = "") -> dict[float, float]:
        """Upper bound in seconds -> how many were not above it."""
        found: dict[float, float] = {}
        for each, said, number in _BUCKET.findall(self._text):
            if each == name and labels in said and (bound := _LE.search(said)):
                le = math.inf if bound[1] == "+Inf" else float(bound[1])
                found[le] = found.get(le, 0.0) + float(number)
        return found


def share_below(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float:
    """The bound of the bucket below which `share` of what was counted in between lies; not a number without any."""
    counts = {bound: number - before.get(bound, 0.0) for bound, number in sorted(after.items())}
    total = max(counts.values(), default=0.0)
    if not total:
        return math.nan
    return next(bound for bound, number in counts.items() if number >= share * total)


async def _one(admin: Hands, fields: str, labels: str) -> bool:
    """Whether there is such a pod: a look that costs the server next to nothing."""
    query = f"limit=1&resourceVersion=0&fieldSelector={fields}&labelSelector={labels}"
    return bool((await admin.send("GET", f"{_PODS}?{query}"))["items"])


async def until_bound(admin: Hands, limit_s: float) -> None:
    """Return once some pod has a node. Raises TimeoutError."""
    async with asyncio.timeout(limit_s):
        await _until(lambda: _one(admin, "spec.nodeName!=", ""))


async def until_all_bound(admin: Hands, limit_s: float, *, labels: str = "", count: int = 0) -> None:
    """Return once no pod with these labels is without a node, and at least `count` are there. Raises TimeoutError."""

    async def done() -> bool:
        return not await _one(admin, "spec.nodeName=", labels) and await _number(admin, labels) >= count

    async with asyncio.timeout(limit_s):
        await _until(done)


async def _until(question: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again."""
    answered = await question()
    while not answered:
        await asyncio.sleep(_POLL_S)
        answered = await question()


async def _number(admin: Hands, labels: str) -> int:
    if not labels:
        return 0
    return len((await admin.send("GET", f"{_PODS}?resourceVersion=0&labelSelector={labels}"))["items"])


async def settled(admin: Hands, path: str) -> int:
    """How many objects there are once their number stays the same for a second."""
    known = -1
    async with asyncio.timeout(LIMIT_S):
        while True:
            listed = await admin.send("GET", f"{path}?limit=1&resourceVersion=0")
            found = len(listed["items"]) + int(listed["metadata"].get("remainingItemCount") or 0)
            if found == known:
                return found
            known = found
            await asyncio.sleep(1.0)
