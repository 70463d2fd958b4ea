"""A runtime that only pretends: simulated nodes have one each, thousands of pods in one process.

Nothing runs and nothing waits: a container is a record, and only what is to happen by itself (an exit, a late start)
has a timer of the event loop. So it works on virtual time as on real time. Containers outlive the agent as long as this
object is kept, a restart of the runtime (`go_down`, `come_back`) as real ones outlive containerd's, and are dead after
`lose_power`.

It also says how well its containers are (health.py): ready when the first probe would succeed, unless a fault says no.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from random import Random

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.pod import Pod
from nodeagent.clock import Wall
from nodeagent.health import Verdict
from nodeagent.observed import Observed

from .addresses import Addresses, NoAddress
from .faults import Fault, Faults, Rule, What
from .interface import (
    Container,
    ContainerConfig,
    ContainerPhase,
    Credentials,
    Event,
    Health,
    Image,
    ImageFailure,
    NotThere,
    PodKey,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Unavailable,
    Version,
)
from .records import ContainerRecord, EventStream, SandboxRecord

POD_CIDR = "10.244.0.0/24"
VERSION = Version(name="fake", version="1.0.0")
KILLED, LOST, CANNOT_START = 137, 255, 128
BUILT_IN = ("kmini.local/pause:1", "kmini.local/sample:latest")
_IMAGE_BYTES = 5_000_000


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """What things take, in seconds; each is taken within `spread` of it (0.2: from 80 % to 120 %)."""

    sandbox_s: float = 0.0
    pull_s: float = 0.0
    start_s: float = 0.0
    stop_s: float = 0.0
    init_s: float = 0.0  # how long init containers run
    spread: float = 0.0


class FakeRuntime:
    """A Runtime and a HealthSource. Use it from one event loop."""

    def __init__(
        self,
        *,
        node: str = "node",
        pod_cidr: str = POD_CIDR,
        latency: Latency | None = None,
        faults: Faults | None = None,
        wall: Wall = time.time,
        random: Random | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.latency = latency or Latency()
        self._node = node
        self._wall = wall
        self._random = random or Random()
        self._addresses = Addresses(pod_cidr)
        self._cidr = pod_cidr
        self._sandboxes: dict[str, SandboxRecord] = {}
        self._by_pod: dict[str, dict[str, SandboxRecord]] = {}
        self._containers: dict[str, ContainerRecord] = {}
        self._images: dict[str, Image] = {}
        self._made = 0
        self._down = ""
        self._streams: list[EventStream] = []
        self._listeners: list[Callable[[str], None]] = []
        for name in BUILT_IN:
            self._has_image(name)
        self.faults.listen(self._faults_changed)

    # --- what may happen to it --------------------------------------------------------------------------

    def go_down(self, message: str = "connection refused") -> None:
        """It answers no more; containers live on."""
        self._down = message
        for stream in self._streams:
            stream.wake()

    def come_back(self) -> None:
        self._down = ""

    def lose_power(self) -> None:
        """Everything that ran is dead, as after a restart of the machine."""
        for container in self._containers.values():
            if not container.state.exited:
                self._exited(container, LOST, reason="Unknown")
        for sandbox in self._sandboxes.values():
            self._sandbox_ended(sandbox)

    def kill_sandbox(self, pod_uid: str) -> None:
        """A pod's sandboxes die, with all in them."""
        for sandbox in self._by_pod.get(pod_uid, {}).values():
            for container in sandbox.containers.values():
                if not container.state.exited:
                    self._exited(container, KILLED)
            self._sandbox_ended(sandbox)

    def kill_container(self, container_id: str, *, code: int = KILLED, reason: str = "") -> None:
        container = self._containers[container_id]
        if container.state.running:
            self._exited(container, code, reason=reason)

    @property
    def running(self) -> list[Container]:
        """What runs now, whether the runtime answers or not."""
        return [each.state for each in self._containers.values() if each.state.running]

    # --- Runtime ------------------------------------------------------------------------------------------

    async def version(self) -> Version:
        self._check()
        return VERSION

    async def health(self) -> Health:
        self._check()
        return Health(ready=True)

    async def update_pod_cidr(self, cidr: str) -> None:
        self._check()
        if cidr != self._cidr:
            self._addresses, self._cidr = Addresses(cidr), cidr

    async def run_sandbox(self, config: SandboxConfig) -> str:
        await self._takes(self.latency.sandbox_s)
        self._refuse("sandbox", config.pod, config)
        found = self._by_pod.setdefault(config.pod.uid, {})
        if any(each.config.attempt == config.attempt for each in found.values()):
            raise RuntimeFailure(f"the name {config.pod.name} with attempt {config.attempt} is reserved")
        state = Sandbox(
            id=self._new_id(),
            pod=config.pod,
            attempt=config.attempt,
            ready=True,
            created_at=self._wall(),
            ips=() if config.host_network else (self._address(),),
            grace_period_s=config.grace_period_s,
        )
        self._sandboxes[state.id] = found[state.id] = SandboxRecord(config, state)
        self._changed(config.pod.uid)
        return state.id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self._check()
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        for container in sandbox.containers.values():
            if not container.state.exited:
                self._exited(container, KILLED)
        self._sandbox_ended(sandbox)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is None:
            return
        for container_id in sandbox.containers:
            del self._containers[container_id]
        uid = sandbox.state.pod.uid
        del self._by_pod[uid][sandbox_id]
        if not self._by_pod[uid]:
            del self._by_pod[uid]
        self._changed(uid)

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        self._check()
        found = self._sandboxes.get(sandbox_id)
        if found is None:
            raise NotThere(f"sandbox {sandbox_id} is not there")
        return found.state

    async def list_sandboxes(self, *, pod_uid: str = "") -> Sequence[Sandbox]:
        self._check()
        found = self._by_pod.get(pod_uid, {}) if pod_uid else self._sandboxes
        return [each.state for each in found.values()]

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        self._check()
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or not sandbox.state.ready:
            raise NotThere(f"sandbox {sandbox_id} is not there or does not run")
        image = self._images.get(config.image)
        if image is None:
            raise NotThere(f"image {config.image} is not there")
        self._refuse("create", sandbox.config.pod, sandbox.config, config.name)
        state = Container(
            id=self._new_id(),
            sandbox_id=sandbox_id,
            pod=sandbox.config.pod,
            name=config.name,
            attempt=config.attempt,
            image=config.image,
            image_id=image.id,
            phase=ContainerPhase.CREATED,
            created_at=self._wall(),
        )
        self._containers[state.id] = sandbox.containers[state.id] = ContainerRecord(config, state, sandbox)
        return state.id

    async def start_container(self, container_id: str) -> None:
        await self._takes(self.latency.start_s)
        container = self._known(container_id)
        if container.state.phase is not ContainerPhase.CREATED:
            raise RuntimeFailure(f"container {container_id} was started before")
        try:
            self._refuse("start", container.state.pod, container.sandbox.config, container.config.name)
        except RuntimeFailure as error:
            self._exited(container, CANNOT_START, reason="StartError", message=error.message)
            raise
        container.started = asyncio.get_running_loop().time()
        container.state = msgspec.structs.replace(
            container.state, phase=ContainerPhase.RUNNING, started_at=self._wall()
        )
        self._arm(container)
        self._changed(container.state.pod.uid)

    async def stop_container(self, container_id: str, *, grace_period_s: float, signal: str = "") -> None:
        self._check()
        container = self._containers.get(container_id)
        if container is None or container.state.exited:
            return
        if container.state.phase is ContainerPhase.CREATED:
            self._exited(container, KILLED)
            return
        deaf = self._fault("deaf", container.state.pod, container.sandbox.config, container.config.name)
        takes_s = grace_period_s if deaf else min(grace_period_s, self._spread(self.latency.stop_s))
        container.stopping = True
        self._end_after(container, takes_s, KILLED if takes_s >= grace_period_s else 0)
        if container.state.running:
            await container.gone.wait()

    async def remove_container(self, container_id: str) -> None:
        self._check()
        container = self._containers.get(container_id)
        if container is None:
            return
        if not container.state.exited:
            self._exited(container, KILLED)
        del self._containers[container_id]
        del container.sandbox.containers[container_id]
        self._changed(container.state.pod.uid)

    async def list_containers(self, *, pod_uid: str = "") -> Sequence[Container]:
        self._check()
        if not pod_uid:
            return [each.state for each in self._containers.values()]
        found = self._by_pod.get(pod_uid, {}).values()
        return [each.state for sandbox in found for each in sandbox.containers.values()]

    async def image(self, name: str, *, config: SandboxConfig | None = None) -> Image | None:
        self._check()
        if config is not None and self._fault("image", config.pod, config):
            return None
        return self._images.get(name)

    async def pull_image(
        self, name: str, *, config: SandboxConfig | None = None, credentials: Credentials | None = None
    ) -> str:
        """Any image is to be had, but for a fault of the pod that wants it."""
        await self._takes(self.latency.pull_s)
        fault = self._fault("image", config.pod, config) if config else None
        if fault is not None:
            words = f'failed to pull and unpack image "{name}": failed to resolve reference "{name}"'
            raise ImageFailure(f"{words}: {fault.message or 'not found'}", reason=fault.reason)
        return self._has_image(name).id

    def _has_image(self, name: str) -> Image:
        known = self._images.get(name)
        if known is None:
            digest = hashlib.sha256(name.encode()).hexdigest()
            known = self._images[name] = Image(id=f"sha256:{digest}", names=(name,), size_bytes=_IMAGE_BYTES)
        return known

    async def list_images(self) -> Sequence[Image]:
        self._check()
        return list(self._images.values())

    async def remove_image(self, image_id: str) -> None:
        self._check()
        self._images = {name: image for name, image in self._images.items() if image.id != image_id}

    async def events(self) -> AsyncGenerator[Event, None]:
        self._check()
        stream = EventStream()
        self._streams.append(stream)
        try:
            while True:
                for uid in await stream.take():
                    yield Event(uid)
                self._check()
        finally:
            self._streams.remove(stream)

    # --- HealthSource -------------------------------------------------------------------------------------

    def verdict(self, spec: ContainerSpec, container: Container) -> Verdict:
        """Each probe succeeds the first time it is made."""
        known = self._containers.get(container.id)
        if known is None:
            return Verdict(started=False, ready=False)
        age_s = asyncio.get_running_loop().time() - known.started
        started_after_s = float(spec.startup_probe.initial_delay_seconds) if spec.startup_probe else 0.0
        ready_after_s = float(spec.readiness_probe.initial_delay_seconds) if spec.readiness_probe else 0.0
        never = self._fault("never-ready", known.state.pod, known.sandbox.config, container.name)
        left = [each - age_s for each in (started_after_s, ready_after_s) if each > age_s]
        return Verdict(
            started=age_s >= started_after_s,
            ready=age_s >= max(started_after_s, ready_after_s) and not never,
            look_again_s=min(left, default=None),
        )

    def listen(self, changed: Callable[[str], None]) -> None:
        self._listeners.append(changed)

    def look(self, pod: Pod, seen: Observed, address: str) -> None:
        """It knows its containers itself."""

    def ending(self, pod_uid: str) -> None:
        """What is ready stays ready."""

    def forget(self, pod_uid: str) -> None:
        """There is nothing to end."""

    # --- how it works -------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._down:
            raise Unavailable(f"the runtime does not answer: {self._down}")

    async def _takes(self, seconds: float) -> None:
        self._check()
        if seconds > 0:
            await asyncio.sleep(self._spread(seconds))
            self._check()

    def _spread(self, seconds: float) -> float:
        spread = self.latency.spread
        return seconds * (1 + spread * (2 * self._random.random() - 1)) if spread else seconds

    def _known(self, container_id: str) -> ContainerRecord:
        found = self._containers.get(container_id)
        if found is None:
            raise NotThere(f"container {container_id} is not there")
        return found

    def _new_id(self) -> str:
        """As long as real ones, in the order of making."""
        self._made += 1
        return f"{self._made:08x}{self._random.getrandbits(224):056x}"

    def _address(self) -> str:
        try:
            return self._addresses.take()
        except NoAddress as error:
            raise RuntimeFailure(f"failed to set up the network of the sandbox: {error}") from error

    def _fault(self, what: What, pod: PodKey, config: SandboxConfig, container: str = "") -> Fault | None:
        """The first that strikes; one that names a container strikes that one alone."""
        found = self.faults.of(what, pod, config.labels, config.annotations)
        return next((each for each in found if each.container in ("", container)), None)

    def _refuse(self, what: What, pod: PodKey, config: SandboxConfig, container: str = "") -> None:
        fault = self._fault(what, pod, config, container)
        if fault is not None:
            raise RuntimeFailure(fault.message or f"simulated failure of {what}", reason=fault.reason)

    def _arm(self, container: ContainerRecord) -> None:
        """What is to happen to a running container by itself, by the faults as they are now."""
        container.let_live()
        fault = self._fault("exit", container.state.pod, container.sandbox.config, container.config.name)
        age_s = asyncio.get_running_loop().time() - container.started
        if fault is not None:
            self._end_after(container, max(0.0, fault.after - age_s), fault.code, fault.reason, fault.message)
        elif container.config.runs_to_end:
            self._end_after(container, max(0.0, self._spread(self.latency.init_s) - age_s), 0)

    def _end_after(
        self, container: ContainerRecord, delay_s: float, code: int, reason: str = "", message: str = ""
    ) -> None:
        """Unless something ends it earlier."""
        if delay_s <= 0:
            self._exited(container, code, reason=reason, message=message)
            return
        loop = asyncio.get_running_loop()
        container.end_at(loop.call_later(delay_s, self._exited, container, code, reason, message))

    def _exited(self, container: ContainerRecord, code: int, reason: str = "", message: str = "") -> None:
        if container.state.exited:
            return
        container.let_live()
        now = self._wall()
        container.state = msgspec.structs.replace(
            container.state,
            phase=ContainerPhase.EXITED,
            started_at=container.state.started_at or now,
            finished_at=now,
            exit_code=code,
            reason=reason or ("Error" if code else "Completed"),
            message=message,
        )
        container.gone.set()
        self._changed(container.state.pod.uid)

    def _sandbox_ended(self, sandbox: SandboxRecord) -> None:
        if not sandbox.state.ready:
            return
        for address in sandbox.state.ips:
            self._addresses.give_back(address)
        sandbox.state = msgspec.structs.replace(sandbox.state, ready=False)
        self._changed(sandbox.state.pod.uid)

    def _changed(self, pod_uid: str) -> None:
        for stream in self._streams:
            stream.add(pod_uid)

    def _faults_changed(self, rule: Rule) -> None:
        """Strike, or spare, what runs already."""
        for sandbox in list(self._sandboxes.values()):
            if not rule.matches(sandbox.config.pod, sandbox.config.labels):
                continue
            for container in sandbox.containers.values():
                if container.state.running and not container.stopping:
                    self._arm(container)
            for listener in self._listeners:
                listener(sandbox.config.pod.uid)
