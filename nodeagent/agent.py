"""The agent of one node: registers it, keeps its pulse, and has a worker for each of its pods.

Everything it needs to know it reads back: pods from the API, what runs from the runtime. So it may end and start again
at any time, and containers do not notice. What must hold:
- Pods run on while the API is away. Nothing is removed for want of an answer: what the runtime has and the API has not
  goes only once the API has shown every pod of this node.
- Workers are by uid: two pods of one name are two pods.
- No worker, no queue and no write is without a bound.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import msgspec

from apiserver.api.core.node import Node, NodeStatus
from apiserver.api.core.pod import Pod
from apiserver.api.errors import AlreadyExists, ApiError
from apiserver.client import Change, Client
from apiserver.client.retry import Backoff

from . import admission, heartbeat
from .checkpoint import Checkpoint
from .clock import Wall, timestamp
from .feeds import Feed
from .heartbeat import Heartbeat
from .house import NORMAL, WARNING, House, Parts
from .machine import Machine
from .node import (
    allocatable_of,
    is_ready,
    keep_times,
    missing_of,
    new_node,
    node_labels,
    node_status,
    same_but_for_heartbeat,
    status_patch,
    was_rebooted,
)
from .observed import observed
from .phase import FINISHED
from .plain import key_of
from .podworker import PodWorker, created_at, signature
from .pulls import Pulls
from .runtime.interface import Health, PodKey, Runtime, RuntimeFailure, Unavailable, Version
from .second_look import SecondLook
from .status import Ending
from .status_writer import StatusWriter

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, Any]]

_AGAIN = Backoff(first_s=0.2, longest_s=10.0)


class AgentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, but for the counts. The times are the kubelet's."""

    version: str = "v1.33.0+kmini"
    heartbeat_s: float = heartbeat.EVERY_S
    status_s: float = 10.0  # how often the node's status is looked at
    report_s: float = 300.0  # how often it is written when nothing changed
    relist_s: float = 60.0  # how often the runtime is asked for everything, in case an event was lost
    remember_after_s: float = 5.0  # how long the API may be silent before the checkpoint counts
    starts_max: int = 8
    pulls_max: int = 4


class Agent:
    """`run` until it is cancelled; then it can be run anew by another Agent on the same runtime."""

    def __init__(
        self,
        client: Client,
        name: str,
        machine: Machine,
        runtime: Runtime,
        parts: Parts,
        *,
        pods: Feed[Pod],
        nodes: Feed[Node],
        writer: StatusWriter,
        checkpoint: Checkpoint | None = None,
        options: AgentOptions | None = None,
        wall: Wall = time.time,
        random: Random | None = None,
    ) -> None:
        self.name = name
        self.registered = asyncio.Event()
        self._client = client
        self._machine = machine
        self._runtime = runtime
        self._parts = parts
        self._checkpoint = checkpoint
        self._pods = pods
        self._nodes = nodes
        self._options = options or AgentOptions()
        self._wall = wall
        self._random = random or Random()
        self._heartbeat = Heartbeat(client, name, wall=wall)
        self._writer = writer
        self._workers: dict[str, PodWorker] = {}
        self._second_look = SecondLook(self._read_node, self._settle)
        self._known: set[str] = set()  # uids that the runtime had before we looked at their objects
        self._complete = False  # there is a worker for every pod that the API has here
        self._house: House | None = None
        self._node: Node | None = None  # as the API showed it last
        self._reported = float("-inf")
        self._version = Version(name="", version="")
        self._cidr = ""
        self._network_came = asyncio.Event()
        self._made_anew = asyncio.Event()  # the Node, after it had gone

    @property
    def pod_count(self) -> int:
        return len(self._workers)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._live(), self._run_pods()):
                    group.create_task(work)
        finally:
            self._pods.leave(self.name)
            self._nodes.leave(self.name)
            await asyncio.gather(*(worker.close() for worker in self._workers.values()))

    async def _until_it_works(self, work: Work, what: str) -> Any:
        failures = 0
        while True:
            try:
                return await work()
            except (ApiError, RuntimeFailure) as error:
                log.warning(
                    "a node's agent tries again", extra={"node": self.name, "what": what, "error": error.message}
                )
                await asyncio.sleep(_AGAIN.wait_s(failures, self._random))
                failures += 1

    # --- the node -----------------------------------------------------------------------------------------

    async def _live(self) -> None:
        self._version = await self._until_it_works(self._runtime.version, "ask the runtime's version")
        self._nodes.join(self.name, self._node_changed)
        await self._until_it_works(self._register, "register")
        log.info("the node is registered", extra={"node": self.name})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(self._options.heartbeat_s, self._beat, at_once=True))
            group.create_task(self._every(self._options.status_s, self._report, news=self._network_came))
            group.create_task(self._register_anew())

    async def _every(
        self, period_s: float, work: Work, *, at_once: bool = False, news: asyncio.Event | None = None
    ) -> None:
        """Each time a little earlier than the period says, so that many nodes drift apart; the first anywhere in it.
        At once when there is news."""
        if at_once:
            await work()
        await _pause(period_s * self._random.random(), news)
        while True:
            await work()
            await _pause(period_s * (0.96 + 0.04 * self._random.random()), news)

    async def _register(self) -> None:
        """Raises ApiError, RuntimeFailure."""
        status = await self._status()
        tell = self._parts.events.node_event
        try:
            node = await self._client.create(new_node(self.name, self._machine, status))
            tell(node, NORMAL, "Starting", "Starting kubelet.")
            self._tell_readiness(node, NodeStatus(), status)
        except AlreadyExists:
            node = await self._client.get(Node, self.name)
            tell(node, NORMAL, "Starting", "Starting kubelet.")
            if was_rebooted(node.status, status):
                words = f"Node {self.name} has been rebooted, boot id: {status.node_info.boot_id}"
                tell(node, WARNING, "Rebooted", words)
            missing = missing_of(node, self.name, self._machine)
            if missing:
                node = await self._client.patch(Node, self.name, {"metadata": missing})
            node = await self._write_status(node, status)
        self._node = self._newest(node)
        self._heartbeat.registered(node)
        self._reported = asyncio.get_running_loop().time()
        await self._take_cidr(self._node)
        self._network_came.set()  # it may be ready by that
        self.registered.set()

    async def _register_anew(self) -> None:
        """For a Node that somebody made after ours had gone: to make one ourselves takes a start."""
        while True:
            await self._made_anew.wait()
            self._made_anew.clear()
            if self._node is None:
                log.info("the Node was made anew", extra={"node": self.name})
                await self._until_it_works(self._register, "register")

    def _node_changed(self, change: Change[Node]) -> None:
        if change.type == "deleted":
            log.error("the Node is gone: make it anew, or start the agent anew", extra={"node": self.name})
            self._node = None
        elif self._node is not None:
            self._node = change.object
            if change.object.spec.pod_cidr != self._cidr:
                self._network_came.set()
        elif self.registered.is_set():
            by = change.object.status.node_info.machine_id
            if by in ("", self._machine.info.machine_id):  # else another machine came in our place
                self._made_anew.set()

    def _newest(self, node: Node) -> Node:
        """Of this one and what was heard of it meanwhile: an answer may come after the event that overtook it."""
        heard = [each for each in self._nodes.of(self.name) if each.metadata.uid == node.metadata.uid]
        return max([node, *heard], key=lambda each: int(each.metadata.resource_version))

    async def _beat(self) -> None:
        """Not without a Node: the lease would be collected as an orphan, and made again, for ever."""
        if self._node is not None:
            await self._heartbeat.beat()

    async def _report(self) -> None:
        """Write the node's status, if it changed or nobody has heard of it for long."""
        node = self._node
        if node is None:
            return
        try:
            await self._take_cidr(node)
            status = await self._status()
            keep_times(status, node.status)
            now = asyncio.get_running_loop().time()
            if now - self._reported < self._options.report_s and same_but_for_heartbeat(status, node.status):
                return
            self._node = self._newest(await self._write_status(node, status))
            self._reported = now
        except (ApiError, RuntimeFailure) as error:
            log.warning("a node's status was not written", extra={"node": self.name, "error": error.message})

    async def _status(self) -> NodeStatus:
        try:
            health, images = await self._runtime.health(), await self._runtime.list_images()
        except RuntimeFailure as error:
            health, images = Health(ready=False, message=error.message), ()
        return node_status(
            self._machine,
            runtime=self._version,
            agent_version=self._options.version,
            health=health,
            images=images,
            now=timestamp(self._wall()),
        )

    async def _write_status(self, node: Node, status: NodeStatus) -> Node:
        keep_times(status, node.status)
        patch = {"metadata": {"uid": node.metadata.uid}, "status": status_patch(node.status, status)}
        written = await self._client.patch(Node, self.name, patch, subresource="status")
        self._tell_readiness(written, node.status, status)
        return written

    def _tell_readiness(self, node: Node, before: NodeStatus, now: NodeStatus) -> None:
        if is_ready(before) != is_ready(now):
            word = "NodeReady" if is_ready(now) else "NodeNotReady"
            self._parts.events.node_event(node, NORMAL, word, f"Node {self.name} status is now: {word}")

    async def _take_cidr(self, node: Node) -> None:
        if node.spec.pod_cidr and node.spec.pod_cidr != self._cidr:
            await self._runtime.update_pod_cidr(node.spec.pod_cidr)
            self._cidr = node.spec.pod_cidr

    # --- pods ---------------------------------------------------------------------------------------------

    async def _run_pods(self) -> None:
        version = await self._until_it_works(self._runtime.version, "ask the runtime's version")
        self._house = House(
            runtime=self._runtime,
            runtime_name=version.name,
            parts=self._parts,
            writer=self._writer,
            wall=self._wall,
            random=self._random,
            host_ips=list(self._machine.addresses),
            starts=asyncio.Semaphore(self._options.starts_max),
            pulls=Pulls(at_once=self._options.pulls_max),
            gone=self._worker_done,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear_events())
            found = await self._until_it_works(self._in_runtime, "list what runs")
            self._known = set(found)
            self._parts.health.listen(self._health_changed)
            self._parts.volumes.listen(self._wake)
            if not await self._api_shows_pods():
                self._remember()
                await self._shown()
            self._take_over(found)
            group.create_task(self._second_look.run())
            group.create_task(self._relist())

    async def _in_runtime(self) -> dict[str, PodKey]:
        sandboxes = await self._runtime.list_sandboxes()
        return {each.pod.uid: each.pod for each in sandboxes}

    async def _api_shows_pods(self) -> bool:
        """Within the time that we give it before we begin with what we remember."""
        try:
            async with asyncio.timeout(self._options.remember_after_s if self._checkpoint is not None else None):
                await self._shown()
        except TimeoutError:
            return False
        return True

    async def _shown(self) -> None:
        """The Node too: who comes may ask for labels that people gave it."""
        await self._pods.synced.wait()
        await self._nodes.synced.wait()

    def _remember(self) -> None:
        """Begin with the pods of the checkpoint: whoever was on this node may go on, whatever becomes of the API."""
        assert self._checkpoint is not None
        pods = self._checkpoint.load()
        log.warning("the API does not answer: the node goes on with the pods it remembers", extra={"pods": len(pods)})
        self._known |= {pod.metadata.uid for pod in pods}
        for pod in sorted(pods, key=created_at):
            self._has(pod)

    def _take_over(self, found: dict[str, PodKey]) -> None:
        """Pods that run already come first, then the oldest: who was here must not lose its place to newcomers."""
        pods = self._pods.of(self.name)
        for pod in sorted(pods, key=lambda pod: (pod.metadata.uid not in found, created_at(pod))):
            self._has(pod)
        self._pods.join(self.name, self._pod_changed)
        shown = {pod.metadata.uid for pod in pods}
        for uid, worker in list(self._workers.items()):
            if uid not in shown and worker.pod is not None:
                worker.object_gone(worker.pod)  # remembered, and gone meanwhile
        self._complete = True
        self._remove_strangers(found.values())
        known = frozenset(self._workers) | frozenset(self._second_look.uids)
        self._parts.volumes.keep_only(known)
        if self._checkpoint is not None:
            self._checkpoint.keep_only(known)

    def _remove_strangers(self, found: Iterable[PodKey]) -> None:
        """What the runtime has of pods that are not there, once we know all that are."""
        for key in found:
            if self._complete and key.uid and key.uid not in self._workers:
                fields = {"namespace": key.namespace, "pod": key.name, "uid": key.uid}
                log.info("a pod that is gone is removed", extra=fields)
                self._add(key, None).wake()

    def _pod_changed(self, change: Change[Pod]) -> None:
        pod = change.object
        if change.type != "deleted":
            self._has(pod)
            return
        self._second_look.drop(pod.metadata.uid)
        worker = self._workers.get(pod.metadata.uid)
        if worker is not None:
            worker.object_gone(pod)

    def _has(self, pod: Pod) -> None:
        echo = self._writer.is_echo(pod)
        pod = self._writer.saw(pod)
        worker = self._workers.get(pod.metadata.uid)
        if worker is not None:
            self._note(pod)
            worker.update(pod, echo=echo)
            return
        self._second_look.drop(pod.metadata.uid)
        node = self._node or next(iter(self._nodes.of(self.name)), None)
        refused = self._check(pod, node.metadata.labels if node is not None else node_labels(self.name, self._machine))
        if refused is not None and refused.reason == admission.NODE_AFFINITY:
            self._second_look.add(pod)
        else:
            self._take(pod, refused)

    async def _read_node(self) -> Node:
        node: Node = await self._until_it_works(lambda: self._client.get(Node, self.name), "read its Node")
        return node

    def _settle(self, pod: Pod, node: Node) -> None:
        self._take(pod, self._check(pod, node.metadata.labels))

    def _take(self, pod: Pod, refused: Ending | None) -> None:
        self._note(pod)
        unknown = self._complete and pod.metadata.uid not in self._known  # nobody had it before us
        worker = self._add(key_of(pod), pod, unknown=unknown)
        if refused is not None:
            log.info("a pod was refused", extra={"pod": pod.metadata.name, "reason": refused.reason})
            self._parts.events.event(pod, WARNING, refused.reason, refused.message)
            worker.reject(refused)
        worker.wake()

    def _note(self, pod: Pod) -> None:
        if self._checkpoint is not None:
            self._checkpoint.note(pod)

    def _check(self, pod: Pod, labels: Mapping[str, str]) -> Ending | None:
        """Who runs or ends already is not asked again whether there is room."""
        meta = pod.metadata
        if meta.uid in self._known or meta.deletion_timestamp is not None or pod.status.phase in FINISHED:
            return None
        others = [each.pod for each in self._workers.values() if each.uses_resources and each.pod is not None]
        return admission.check(pod, others, allocatable_of(self._machine), labels)

    def _add(self, key: PodKey, pod: Pod | None, *, unknown: bool = False) -> PodWorker:
        assert self._house is not None
        worker = self._workers[key.uid] = PodWorker(self._house, key, pod, unknown=unknown)
        return worker

    def _worker_done(self, uid: str) -> None:
        self._workers.pop(uid, None)
        self._known.discard(uid)
        if self._checkpoint is not None:
            self._checkpoint.forget(uid)

    def _wake(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def _health_changed(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.health_changed()

    # --- the runtime --------------------------------------------------------------------------------------

    async def _hear_events(self) -> None:
        failures = 0
        while True:
            try:
                async for event in self._runtime.events():
                    failures = 0
                    self._wake(event.pod_uid)
            except RuntimeFailure as error:
                if not failures:
                    log.warning("the runtime went away", extra={"node": self.name, "error": error.message})
            compared = False
            while not compared:  # what happened meanwhile is in no event, and it may tell events before it answers
                await asyncio.sleep(_AGAIN.wait_s(failures, self._random))
                failures += 1
                compared = await self._compare()

    async def _relist(self) -> None:
        await self._every(self._options.relist_s, self._compare)

    async def _compare(self) -> bool:
        """Wake the workers whose pod is not in the runtime as they saw it last; remove what came to be there after its
        pod had gone: a call that was given up may have gone through. False when the runtime does not answer."""
        try:
            sandboxes, containers = await self._runtime.list_sandboxes(), await self._runtime.list_containers()
        except Unavailable:
            return False  # `health` tells of it
        except RuntimeFailure as error:
            log.warning("the runtime does not list what runs", extra={"node": self.name, "error": error.message})
            return True
        by_pod: dict[str, tuple[list[Any], list[Any]]] = {}
        for sandbox in sandboxes:
            by_pod.setdefault(sandbox.pod.uid, ([], []))[0].append(sandbox)
        for container in containers:
            by_pod.setdefault(container.pod.uid, ([], []))[1].append(container)
        for uid, worker in list(self._workers.items()):
            if signature(observed(*by_pod.get(uid, ((), ())))) != worker.signature:
                worker.wake()
        self._remove_strangers(each.pod for each in sandboxes)
        return True


async def _pause(delay_s: float, news: asyncio.Event | None) -> None:
    """Shorter when there is news."""
    if news is None:
        await asyncio.sleep(delay_s)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(delay_s):
            await news.wait()
    news.clear()
