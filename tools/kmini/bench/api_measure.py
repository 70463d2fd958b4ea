"""The run of the API benchmark: our three replicas, the hello, etcd and, where there is one, a kube-apiserver in turns.

Never are two of them under load at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from . import api_pods as pods
from . import face, h2load, wrk
from .api_access import Access, allowed, hands, prepare
from .api_kube import KubeApi
from .api_pods import Script
from .api_servers import ApiCluster, Hello, boot_s, environment
from .api_watch import Event, Watchers
from .etcd import EtcdCluster
from .figures import median, percentile
from .process import Memory
from .side import RANGE_KEYS, RANGE_PREFIX, WorkNotDone

Progress = Callable[[str], None]
EtcdLoad = Callable[[int, face.Shape, float], Awaitable[h2load.LoadResult]]

_PROBE_EVERY_S = 0.005
_SHAPES = (face.SHARED, face.SEPARATE)


class ApiPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often. Times in seconds; `limit_s` bounds the whole run."""

    rounds: int = 3
    load_s: float = 4.0
    list_s: float = 3.0
    clients: int = pods.CLIENTS
    pods_many: int = pods.PODS_MANY
    watchers: int = pods.WATCHERS
    events: int = 40
    boots: int = 5
    settle_s: float = 3.0
    limit_s: float = 870.0

    @classmethod
    def quick(cls) -> ApiPlan:
        """Still every row, too short to mean much."""
        return cls(
            rounds=1, load_s=1.0, list_s=1.0, pods_many=1_500, watchers=50, events=3, boots=1, settle_s=0.5,
            limit_s=170.0,
        )  # fmt: skip


class ApiRecord:
    """What was measured: per step one figure per round, and the load generator's share of a core."""

    def __init__(self) -> None:
        self._figures: dict[str, list[float]] = defaultdict(list)
        self._client_cpu: dict[str, list[float]] = defaultdict(list)

    def add(self, step: str, figure: float, client_cpu: float | None = None) -> None:
        self._figures[step].append(figure)
        if client_cpu is not None:
            self._client_cpu[step].append(client_cpu)

    def has(self, step: str) -> bool:
        return step in self._figures

    def figures(self, step: str) -> tuple[float, ...]:
        """One per round. Raises KeyError for a step that was not measured."""
        if step not in self._figures:
            raise KeyError(f"{step} was not measured")
        return tuple(self._figures[step])

    def client_cpu(self, step: str) -> float:
        """Raises KeyError as `figures`."""
        if step not in self._client_cpu:
            raise KeyError(f"{step} was not measured")
        return median(self._client_cpu[step])


class _Sides(NamedTuple):
    ours: ApiCluster
    hello: Hello
    etcd: EtcdCluster
    kube: KubeApi | None


class ApiRun:
    """One run of the plan; `folder` lies on a disk; `kube` is a kube-apiserver to put beside ours."""

    def __init__(self, plan: ApiPlan, folder: Path, progress: Progress, kube: Path | None = None) -> None:
        self._plan = plan
        self._folder = folder
        self._begin = time.monotonic()
        self._tell = progress
        self._prefixes = 0
        self._environment = environment(folder)
        self._kube = kube
        self.record = ApiRecord()

    def _say(self, text: str) -> None:
        self._tell(f"[{time.monotonic() - self._begin:5.0f} s] {text}")

    def _add(self, step: str, figure: float, client_cpu: float | None = None) -> None:
        self.record.add(step, figure, client_cpu)
        self._say(f"  {step}: {figure:,.4g}")

    async def all(self) -> ApiRecord:
        """The whole plan. Raises TimeoutError past its limit, and what the sides raise."""
        async with asyncio.timeout(self._plan.limit_s):
            await self._boots()
            async with self._sides() as sides:
                await self._loads(sides)
        return self.record

    @asynccontextmanager
    async def _sides(self) -> AsyncIterator[_Sides]:
        ours, etcd = ApiCluster(self._environment), EtcdCluster()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(ours.stop)
            stack.push_async_callback(etcd.stop)
            self._say("starting three replicas, three members of etcd and the hello")
            await ours.start(self._folder / "ours")
            await etcd.start(self._folder / "etcd")
            hello = Hello(ours.pki(0), self._folder / "hello.log", self._environment)
            stack.push_async_callback(hello.stop)
            await hello.ready()
            kube = None
            if self._kube is not None:
                kube = KubeApi(self._kube, ours.pki(0), etcd.client_ports)
                stack.push_async_callback(kube.stop)
                for step in ("kube_boot_first", "kube_boot_again"):
                    await kube.stop()
                    self._add(step, await kube.start(self._folder))
            yield _Sides(ours, hello, etcd, kube)

    async def _boots(self) -> None:
        (self._folder / "boot-0").mkdir()
        await boot_s(self._folder / "boot-0", self._environment)  # compiles what Python has not compiled yet
        for number in range(1, self._plan.boots + 1):
            self._say(f"one replica, from its start to ready, {number} of {self._plan.boots}")
            folder = self._folder / f"boot-{number}"
            folder.mkdir()
            self._add("boot_first", await boot_s(folder, self._environment))
            self._add("boot_again", await boot_s(folder, self._environment))

    # --- loads ------------------------------------------------------------------------------------

    async def _loads(self, sides: _Sides) -> None:
        ours, kube = sides.ours, sides.kube
        leader = await ours.leader()
        await asyncio.sleep(self._plan.settle_s)
        self._memory(max(ours.memory(), key=lambda each: each.rss), "idle")
        token = await self._filled(ours.base(leader), ours.authority, ours.admin_certificate)
        access, other = ours.access(leader, token), ours.access((leader + 1) % 3, token)
        peer = None
        if kube is not None:
            self._memory(kube.memory(), "idle", "kube_")
            peer = kube.access(await self._filled(kube.base, kube.authority, kube.admin_certificate))
        await sides.etcd.fill(RANGE_PREFIX, RANGE_KEYS)
        await self._check_lists(access)
        if kube is not None and peer is not None:
            await self._check_lists(peer)
            self._memory(kube.memory(), "filled", "kube_")
        await asyncio.sleep(self._plan.settle_s)
        self._memory(max(ours.memory(), key=lambda each: each.rss), "filled")
        for number in range(1, self._plan.rounds + 1):
            self._say(f"loads, round {number} of {self._plan.rounds}")
            await self._round(sides, access, other, peer)

    async def _round(self, sides: _Sides, access: Access, other: Access, peer: Access | None) -> None:
        """What is compared is measured side by side."""
        bare = Access(base=sides.hello.base, authority=access.authority, token=access.token)
        both = [("", access), *([("kube_", peer)] if peer is not None else [])]
        self._rate("hello", await self._run(bare, pods.gets(["/hello"])))
        await self._gets(access, "get")
        await self._gets(other, "get_follower")
        for prefix, place in both[1:]:
            await self._gets(place, f"{prefix}get")
        await self._etcd("etcd_get", sides.etcd, face.get_load)
        await self._creates(access, "create")
        await self._creates(other, "create_follower")
        for prefix, place in both[1:]:
            await self._creates(place, f"{prefix}create")
        await self._etcd("etcd_put", sides.etcd, face.put_load)
        for prefix, place in both:
            await self._lists(place, prefix)
        ranged = await face.range_load(await sides.etcd.leader_port(), self._plan.list_s)
        self._add("etcd_range", median(ranged.latencies_s))
        await self._stalls(access)
        for prefix, place in both:
            await self._watch(place, prefix)

    async def _filled(self, base: str, authority: Path, certificate: tuple[Path, Path]) -> str:
        """Namespaces, rights and pods are there; the token of the account that has the rights."""
        self._say(f"{self._plan.pods_many:,} pods at {base}")
        async with hands(base, authority, certificate=certificate) as admin:
            token = await prepare(admin, many=self._plan.pods_many, few=(pods.FEW, pods.PODS_FEW), filled=pods.MANY)
        async with hands(base, authority, token=token) as load:
            await allowed(load)
        return token

    async def _check_lists(self, access: Access) -> None:
        """Lists are whole. Raises WorkNotDone."""
        async with hands(access.base, access.authority, token=access.token) as load:
            for namespace, count in ((pods.MANY, self._plan.pods_many), (pods.FEW, pods.PODS_FEW)):
                listed = await load.send("GET", pods.pods_path(namespace))
                names = {each["metadata"]["name"] for each in listed["items"]}
                if len(names) != count or len(listed["items"]) != count:
                    raise WorkNotDone(f"the list of {namespace} has {len(listed['items'])} pods, not {count}")

    async def _run(self, access: Access, script: Script, *, clients: int | None = None, s: float = 0) -> wrk.Load:
        return await wrk.run(
            access.base,
            script,
            token=access.token,
            clients=clients or self._plan.clients,
            duration_s=s or self._plan.load_s,
        )

    def _rate(self, step: str, load: wrk.Load) -> None:
        self._add(step, load.rate, load.cpu_share)
        self.record.add(f"{step}_p99", load.p99_s)

    async def _gets(self, access: Access, step: str) -> None:
        script = pods.pod_gets(self._plan.pods_many)
        load = await self._run(access, script)
        if load.bytes_read < load.requests * len(pods.pod("")):
            raise WorkNotDone(f"{load.requests} gets counted, {load.bytes_read} bytes received")
        self._rate(step, load)
        if not step.endswith("follower"):
            self._add(f"{step}_alone", (await self._run(access, script, clients=1, s=self._plan.list_s)).p50_s)

    async def _creates(self, access: Access, step: str) -> None:
        async with hands(access.base, access.authority, token=access.token) as load:
            before = await load.count(pods.CREATED)
            made = await self._run(access, pods.creates(self._prefix()))
            if await load.count(pods.CREATED) - before < made.requests:
                raise WorkNotDone(f"{made.requests} creations counted, fewer pods are there")
        self._rate(step, made)
        if not step.endswith("follower"):
            alone = await self._run(access, pods.creates(self._prefix()), clients=1, s=self._plan.list_s)
            self._add(f"{step}_alone", alone.p50_s)

    def _prefix(self) -> str:
        """For names of pods that nobody used yet."""
        self._prefixes += 1
        return f"pod-{self._prefixes}"

    async def _etcd(self, step: str, etcd: EtcdCluster, load: EtcdLoad) -> None:
        """The better of two ways for 64 clients to connect."""
        port = await etcd.leader_port()
        self._add(step, max([(await load(port, shape, self._plan.load_s)).rate for shape in _SHAPES]))

    async def _lists(self, access: Access, prefix: str) -> None:
        for step, namespace in (("list_many", pods.MANY), ("list_few", pods.FEW)):
            script = pods.gets([pods.pods_path(namespace)])
            load = await self._run(access, script, clients=1, s=self._plan.list_s)
            self._add(f"{prefix}{step}", load.p50_s, load.cpu_share)

    async def _stalls(self, access: Access) -> None:
        """How late the server's loop gets to a probe while others work: what everybody else then waits."""
        loads = (
            ("probe_idle", None, 0),
            ("probe_listing", pods.gets([pods.pods_path(pods.MANY)]), 1),
            ("probe_creating", pods.creates(self._prefix()), self._plan.clients),
        )
        for step, script, clients in loads:
            probing = asyncio.create_task(_probe(access, self._plan.list_s))
            try:
                if script is not None:
                    await self._run(access, script, clients=clients, s=self._plan.list_s)
            finally:
                samples_s = await probing
            self._add(step, percentile(samples_s, 0.99))

    async def _watch(self, access: Access, prefix: str) -> None:
        names, plan = self._prefix(), self._plan

        def work() -> list[Event]:
            with Watchers(access, plan.watchers) as watchers:
                watchers.events(f"{names}-first", 1)  # each connection's first write is its dearest
                return watchers.events(names, plan.events)

        events = await asyncio.to_thread(work)
        for step, figure in (
            ("watch_answered", "answered_s"),
            ("watch_first", "first_s"),
            ("watch_last", "last_s"),
            ("watch_read", "read_s"),
        ):
            self._add(f"{prefix}{step}", median([getattr(event, figure) for event in events]))

    def _memory(self, found: Memory, when: str, prefix: str = "") -> None:
        """Of our replicas the largest, for a machine must have room for it."""
        self._add(f"{prefix}rss_{when}", found.rss)
        self._add(f"{prefix}anonymous_{when}", found.anonymous)
        self._add(f"{prefix}file_{when}", found.rss - found.anonymous)


async def _probe(access: Access, duration_s: float) -> list[float]:
    """Seconds that /livez took, asked again and again on one connection."""
    samples_s = []
    async with hands(access.base, access.authority) as anonymous:
        await anonymous.send("GET", "/livez")
        end = time.monotonic() + duration_s
        while (begin := time.monotonic()) < end:
            await anonymous.send("GET", "/livez")
            samples_s.append(time.monotonic() - begin)
            await asyncio.sleep(_PROBE_EVERY_S)
    return samples_s
