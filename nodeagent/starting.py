"""Starts what a pod needs: its sandbox, images, containers; and remembers why something could not be started yet.

The waits are the kubelet's: 10 s doubled up to 300 s for a container that ends again and again, and for an image that
cannot be had.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.pod import Pod
from apiserver.api.times import format_duration

from .backoff import Backoffs
from .decide import is_sidecar
from .observed import Observed
from .runtime.interface import (
    Container,
    ContainerConfig,
    ImageFailure,
    PodKey,
    PortMapping,
    RuntimeFailure,
    SandboxConfig,
    Unavailable,
)
from .status import Waiting

if TYPE_CHECKING:
    from .podworker import House

log = logging.getLogger(__name__)

#: Images under it are never pulled, whatever the policy says (docs/contract.md).
BUILT_IN = "kmini.local/"
KEPT_CONTAINERS = 2  # of one name: the one that is, and the one before
RETRY_S = 10.0
SHOW_FAILURE_S = 2.0  # a failure is shown as such for so long, then as a wait


class Starter:
    """Of one pod. `waiting` says for each container that does not run what it waits for."""

    def __init__(self, house: House, key: PodKey) -> None:
        self.waiting: dict[str, Waiting] = {}
        self._house = house
        self._key = key
        self._crashes = Backoffs()
        self._pulls = Backoffs()
        self._pull_failed: dict[str, tuple[float, str]] = {}  # by image: when, and the words
        self._shown_until: dict[str, float] = {}  # by container: a failure that people should see for a moment
        self._ends: dict[str, float] = {}  # by container id: when its end was seen, by the loop's clock

    def note(self, seen: Observed) -> None:
        """When did what has ended end: seen now for the first time."""
        now = asyncio.get_running_loop().time()
        ended = {each.id for found in seen.containers.values() for each in found if each.exited}
        self._ends = {each: self._ends.get(each, now) for each in ended}
        for name, found in seen.containers.items():
            if found[0].running:
                self.waiting.pop(name, None)

    # --- sandbox ------------------------------------------------------------------------------------------

    async def make_sandbox(self, pod: Pod, seen: Observed) -> None:
        """A new one in place of those that do not work. Raises RuntimeFailure."""
        runtime = self._house.runtime
        for sandbox in seen.sandboxes:
            await runtime.stop_sandbox(sandbox.id)  # gives back what it still holds
        attempt = max((each.attempt + 1 for each in seen.sandboxes), default=0)
        async with self._house.starts:
            await runtime.run_sandbox(sandbox_config(pod, attempt))
        for sandbox in seen.sandboxes[1:]:
            await runtime.remove_sandbox(sandbox.id)

    # --- containers ---------------------------------------------------------------------------------------

    async def start(self, pod: Pod, spec: ContainerSpec, seen: Observed) -> float | None:
        """Start it, or say when to try again. Raises Unavailable."""
        sandbox, newest = seen.sandbox, seen.newest(spec.name)
        if sandbox is None:
            return RETRY_S
        left_s = self._shown_until.get(spec.name, 0.0) - asyncio.get_running_loop().time()
        if left_s > 0:
            return left_s
        if newest is not None and newest.exited:
            left_s = self._crash_wait_s(spec.name, newest)
            if left_s > 0:
                return left_s
        config = sandbox_config(pod, sandbox.attempt)
        image_id, again_s = await self._image(spec, config)
        if image_id is None:
            return again_s
        async with self._house.starts:
            if newest is None or newest.exited or seen.current(spec.name) is None:
                attempt = newest.attempt + 1 if newest is not None else 0
                runs_to_end = any(each is spec for each in pod.spec.init_containers) and not is_sidecar(spec)
                made = container_config(spec, attempt, image_id, runs_to_end=runs_to_end)
                try:
                    container_id = await self._house.runtime.create_container(sandbox.id, made)
                except Unavailable:
                    raise
                except RuntimeFailure as error:
                    return self._failed(spec, error, "CreateContainerError", RETRY_S)
            else:
                container_id = newest.id  # made, and then somebody was interrupted
            return await self._start(spec, container_id, seen)

    async def _start(self, spec: ContainerSpec, container_id: str, seen: Observed) -> float | None:
        runtime = self._house.runtime
        try:
            await runtime.start_container(container_id)
        except Unavailable:
            raise
        except RuntimeFailure as error:
            self._shown_until[spec.name] = asyncio.get_running_loop().time() + SHOW_FAILURE_S
            return self._failed(spec, error, "RunContainerError", SHOW_FAILURE_S)  # then it waits as after a crash
        self.waiting.pop(spec.name, None)
        for old in seen.containers.get(spec.name, [])[KEPT_CONTAINERS - 1 :]:
            await runtime.remove_container(old.id)
        return None

    def _failed(self, spec: ContainerSpec, error: RuntimeFailure, reason: str, again_s: float) -> float:
        self.waiting[spec.name] = Waiting(error.reason or reason, error.message)
        log.info("a container did not start", extra=self._fields(spec) | {"error": error.message})
        return again_s

    def _crash_wait_s(self, name: str, ended: Container) -> float:
        """How long to leave it alone; when that is over, the next wait is longer."""
        now = asyncio.get_running_loop().time()
        failed = self._ends.get(ended.id, now)
        left_s = self._crashes.left_s(name, failed=failed, now=now)
        if left_s > 0:
            delay = format_duration(round(self._crashes.delay_s(name) * 1e9))
            pod = f"{self._key.name}_{self._key.namespace}({self._key.uid})"
            words = f"back-off {delay} restarting failed container={name} pod={pod}"
            self.waiting[name] = Waiting("CrashLoopBackOff", words)
            return left_s
        self._crashes.count(name, failed=failed, now=now)
        return 0.0

    # --- images -------------------------------------------------------------------------------------------

    async def _image(self, spec: ContainerSpec, config: SandboxConfig) -> tuple[str | None, float | None]:
        """The id of the image; or None and when to try again. Raises Unavailable."""
        name, policy = spec.image, spec.image_pull_policy or "IfNotPresent"
        pulled = not name.startswith(BUILT_IN) and policy != "Never"
        if not (pulled and policy == "Always"):
            found = await self._house.runtime.image(name, config=config)
            if found is not None:
                return found.id, None
        if not pulled:
            words = f'Container image "{name}" is not present with pull policy of Never'
            self.waiting[spec.name] = Waiting("ErrImageNeverPull", words)
            return None, RETRY_S
        return await self._pull(spec, config)

    async def _pull(self, spec: ContainerSpec, config: SandboxConfig) -> tuple[str | None, float | None]:
        name, loop = spec.image, asyncio.get_running_loop()
        when, words = self._pull_failed.get(name, (0.0, ""))
        left_s = self._pulls.left_s(name, failed=when, now=loop.time()) if words else 0.0
        if left_s > 0:
            self.waiting[spec.name] = Waiting("ImagePullBackOff", f'Back-off pulling image "{name}": {words}')
            return None, left_s
        try:
            async with self._house.pulls:
                image_id = await self._house.runtime.pull_image(name, config=config)
        except ImageFailure as error:
            now = loop.time()
            self._pulls.count(name, failed=now, now=now)
            reason = error.reason or "ErrImagePull"
            self._pull_failed[name] = (now, f"{reason}: {error.message}")
            self.waiting[spec.name] = Waiting(reason, error.message)
            log.info("an image could not be pulled", extra=self._fields(spec) | {"error": error.message})
            self._shown_until[spec.name] = now + SHOW_FAILURE_S
            return None, SHOW_FAILURE_S
        self._pull_failed.pop(name, None)
        return image_id, None

    def _fields(self, spec: ContainerSpec) -> dict[str, str]:
        key = self._key
        return {"namespace": key.namespace, "pod": key.name, "uid": key.uid, "container": spec.name}


def key_of(pod: Pod) -> PodKey:
    return PodKey(namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid)


def sandbox_config(pod: Pod, attempt: int) -> SandboxConfig:
    grace_s = pod.spec.termination_grace_period_seconds
    return SandboxConfig(
        pod=key_of(pod),
        attempt=attempt,
        hostname=pod.spec.hostname or pod.metadata.name,
        host_network=pod.spec.host_network,
        grace_period_s=30.0 if grace_s is None else float(grace_s),
        labels=pod.metadata.labels,
        annotations=pod.metadata.annotations,
        port_mappings=[
            PortMapping(
                protocol=port.protocol or "TCP",
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for spec in pod.spec.containers
            for port in spec.ports
            if port.host_port
        ],
    )


def container_config(spec: ContainerSpec, attempt: int, image_id: str, *, runs_to_end: bool) -> ContainerConfig:
    return ContainerConfig(
        name=spec.name,
        attempt=attempt,
        image=spec.image,
        image_id=image_id,
        command=spec.command,
        args=spec.args,
        working_dir=spec.working_dir,
        environment=[(each.name, each.value) for each in spec.env if each.value_from is None],
        stdin=spec.stdin,
        tty=spec.tty,
        runs_to_end=runs_to_end,
    )
