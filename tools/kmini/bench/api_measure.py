"""The run of the API benchmark: our three replicas, the hello and etcd in turns, never two under load at once."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from . import api_pods as pods
from . import face, wrk
from .api_access import Access, Hands, allowed, hands, prepare
from .api_pods import Script
from .api_servers import ApiCluster, Hello, boot_s
from .api_watch import Event, Watchers
from .etcd import EtcdCluster
from .figures import median, percentile
from .side import RANGE_KEYS, RANGE_PREFIX, WorkNotDone

Progress = Callable[[str], None]

_PROBE_EVERY_S = 0.005


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


class ApiRun:
    """One run of the plan; `folder` lies on a disk."""

    def __init__(self, plan: ApiPlan, folder: Path, progress: Progress) -> None:
        self._plan = plan
        self._folder = folder
        self._begin = time.monotonic()
        self._tell = progress
        self._prefixes = 0
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
            async with self._sides() as (ours, hello, etcd):
                await self._loads(ours, hello, etcd)
        return self.record

    @asynccontextmanager
    async def _sides(self) -> AsyncIterator[tuple[ApiCluster, Hello, EtcdCluster]]:
        ours, etcd = ApiCluster(), EtcdCluster()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(ours.stop)
            stack.push_async_callback(etcd.stop)
            self._say("starting three replicas, three members of etcd and the hello")
            await ours.start(self._folder / "ours")
            await etcd.start(self._folder / "etcd")
            hello = Hello(ours.pki(0), self._folder / "hello.log")
            stack.push_async_callback(hello.stop)
            await hello.ready()
            yield ours, hello, etcd

    async def _boots(self) -> None:
        for number in range(1, self._plan.boots + 1):
            self._say(f"one replica, from its start to ready, {number} of {self._plan.boots}")
            folder = self._folder / f"boot-{number}"
            folder.mkdir()
            self._add("boot_first", await boot_s(folder))
            self._add("boot_again", await boot_s(folder))

    # --- loads ------------------------------------------------------------------------------------

    async def _loads(self, ours: ApiCluster, hello: Hello, etcd: EtcdCluster) -> None:
        self._say(f"{self._plan.pods_many:,} pods")
        leader = await ours.leader()
        async with hands(ours.base(leader), ours.authority, certificate=ours.admin_certificate) as admin:
            await asyncio.sleep(self._plan.settle_s)
            self._memory(ours, "idle")
            few = pods.FEW, pods.PODS_FEW
            token = await prepare(admin, many=self._plan.pods_many, few=few, filled=pods.MANY)
        await etcd.fill(RANGE_PREFIX, RANGE_KEYS)
        access = ours.access(leader, token)
        other = ours.access((leader + 1) % 3, token)
        async with hands(access.base, access.authority, token=token) as load:
            await allowed(load)
            await self._check_lists(load)
            await asyncio.sleep(self._plan.settle_s)
            self._memory(ours, "filled")
            for number in range(1, self._plan.rounds + 1):
                self._say(f"loads, round {number} of {self._plan.rounds}")
                await self._gets(hello, access, other, etcd)
                await self._creates(access, other, load, etcd)
                await self._lists(access, etcd)
                await self._stalls(access)
                await self._watch(access)

    async def _check_lists(self, load: Hands) -> None:
        """Lists are whole. Raises WorkNotDone."""
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

    async def _gets(self, hello: Hello, access: Access, other: Access, etcd: EtcdCluster) -> None:
        script = pods.pod_gets(self._plan.pods_many)
        bare = Access(base=hello.base, authority=access.authority, token=access.token)
        self._rate("hello", await self._run(bare, pods.gets(["/hello"])))
        for step, place in (("get", access), ("get_follower", other)):
            load = await self._run(place, script)
            if load.bytes_read < load.requests * len(pods.pod("")):
                raise WorkNotDone(f"{load.requests} gets counted, {load.bytes_read} bytes received")
            self._rate(step, load)
        alone = await self._run(access, script, clients=1)
        self._add("get_alone", alone.p50_s)
        port = await etcd.leader_port()
        found = [await face.get_load(port, shape, self._plan.load_s) for shape in (face.SHARED, face.SEPARATE)]
        self._add("etcd_get", max(load.rate for load in found))

    async def _creates(self, access: Access, other: Access, load: Hands, etcd: EtcdCluster) -> None:
        for step, place, clients in (
            ("create", access, self._plan.clients),
            ("create_follower", other, self._plan.clients),
            ("create_alone", access, 1),
        ):
            before = await load.count(pods.CREATED)
            self._prefixes += 1
            made = await self._run(place, pods.creates(f"pod-{self._prefixes}"), clients=clients)
            if await load.count(pods.CREATED) - before < made.requests:
                raise WorkNotDone(f"{made.requests} creations counted, fewer pods are there")
            if clients == 1:
                self._add(step, made.p50_s)
            else:
                self._rate(step, made)
        port = await etcd.leader_port()
        found = [await face.put_load(port, shape, self._plan.load_s) for shape in (face.SHARED, face.SEPARATE)]
        self._add("etcd_put", max(load.rate for load in found))

    async def _lists(self, access: Access, etcd: EtcdCluster) -> None:
        for step, namespace in (("list_many", pods.MANY), ("list_few", pods.FEW)):
            script = pods.gets([pods.pods_path(namespace)])
            load = await self._run(access, script, clients=1, s=self._plan.list_s)
            self._add(step, load.p50_s, load.cpu_share)
        ranged = await face.range_load(await etcd.leader_port(), self._plan.list_s)
        self._add("etcd_range", median(ranged.latencies_s))

    async def _stalls(self, access: Access) -> None:
        """How late the server's loop gets to a probe while others work: what everybody else then waits."""
        self._prefixes += 1
        loads = (
            ("probe_idle", None, 0),
            ("probe_listing", pods.gets([pods.pods_path(pods.MANY)]), 1),
            ("probe_creating", pods.creates(f"pod-{self._prefixes}"), self._plan.clients),
        )
        for step, script, clients in loads:
            probing = asyncio.create_task(_probe(access, self._plan.list_s))
            try:
                if script is not None:
                    await self._run(access, script, clients=clients, s=self._plan.list_s)
            finally:
                samples_s = await probing
            self._add(step, percentile(samples_s, 0.99))

    async def _watch(self, access: Access) -> None:
        self._prefixes += 1
        prefix, plan = f"pod-{self._prefixes}", self._plan

        def work() -> list[Event]:
            with Watchers(access, plan.watchers) as watchers:
                watchers.events(f"{prefix}-first", 1)  # each connection's first write is its dearest
                return watchers.events(prefix, plan.events)

        events = await asyncio.to_thread(work)
        for step, figure in (
            ("watch_answered", "answered_s"),
            ("watch_first", "first_s"),
            ("watch_last", "last_s"),
            ("watch_read", "read_s"),
        ):
            self._add(step, median([getattr(event, figure) for event in events]))

    def _memory(self, ours: ApiCluster, when: str) -> None:
        """The largest replica's, for a machine must have room for it."""
        found = max(ours.memory(), key=lambda each: each.rss)
        self._add(f"rss_{when}", found.rss)
        self._add(f"anonymous_{when}", found.anonymous)
        self._add(f"file_{when}", found.rss - found.anonymous)


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
