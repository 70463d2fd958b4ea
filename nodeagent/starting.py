"""Starts what a pod needs: its sandbox, images, containers; and remembers why something could not be started yet.

The waits are the kubelet's: 10 s doubled up to 300 s for a container that ends again and again, and for an image that
cannot be had.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.containers import EphemeralContainer
from apiserver.api.core.pod import Pod
from apiserver.api.times import format_duration

from .backoff import Backoffs
from .house import NORMAL, WARNING, House, NotYet
from .observed import Observed
from .runtime.interface import (
    Container,
    ContainerConfig,
    Credentials,
    Image,
    ImageFailure,
    PodKey,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Unavailable,
)
from .spec.image_names import registry_of, repository_of
from .status import Waiting

log = logging.getLogger(__name__)

#: Images under it are never pulled, whatever the policy says (docs/contract.md).
BUILT_IN = "kmini.local/"
GRACE_PERIOD_S = 30.0
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
        self._resting: dict[str, tuple[str, float]] = {}  # by container: after a failure; of which image, until when
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

    async def make_sandbox(self, pod: Pod, seen: Observed) -> str:
        """A new one in place of those that do not work; its id. Raises RuntimeFailure, NotYet."""
        runtime, parts = self._house.runtime, self._house.parts
        if seen.sandboxes:
            words = "Pod sandbox changed, it will be killed and re-created."
            parts.events.event(pod, NORMAL, "SandboxChanged", words)
        for sandbox in seen.sandboxes:
            await runtime.stop_sandbox(sandbox.id)  # gives back what it still holds
        await parts.volumes.prepare(pod)
        attempt = max((each.attempt + 1 for each in seen.sandboxes), default=0)
        config = await parts.specs.sandbox(pod, attempt)
        async with self._house.starts:
            try:
                made = await runtime.run_sandbox(config)
            except RuntimeFailure as error:
                words = f"Failed to create pod sandbox: {error.message}"
                parts.events.event(pod, WARNING, "FailedCreatePodSandBox", words)
                raise
        for sandbox in seen.sandboxes[1:]:
            await runtime.remove_sandbox(sandbox.id)
        return made

    # --- containers ---------------------------------------------------------------------------------------

    async def start(self, pod: Pod, spec: ContainerSpec, seen: Observed) -> float | None:
        """Start it, or say when to try again. Raises Unavailable."""
        sandbox, newest = seen.sandbox, seen.newest(spec.name)
        if sandbox is None:
            return RETRY_S
        left_s = self._wait_s(pod, spec, newest)
        if left_s > 0:
            return left_s
        try:
            image, again_s = await self._image(pod, spec, sandbox)
            if image is None:
                return again_s
            container_id = await self._container(pod, spec, image, sandbox, seen)
        except NotYet as error:
            words = f"Error: {error.message}" if error.event == "Failed" else error.message
            self._house.parts.events.event(pod, WARNING, error.event, words, container=spec.name)
            self.waiting[spec.name] = Waiting(error.reason, error.message)
            log.info("a container waits", extra=self._fields(spec) | {"reason": error.reason, "error": error.message})
            return self._rest(spec, error.again_s)
        except Unavailable:
            raise
        except RuntimeFailure as error:
            return self._failed(pod, spec, error, "CreateContainerError", RETRY_S)
        return await self._start(pod, spec, container_id, sandbox, seen)

    async def _container(self, pod: Pod, spec: ContainerSpec, image: Image, sandbox: Sandbox, seen: Observed) -> str:
        """The id of one that was not started yet. Raises NotYet, RuntimeFailure."""
        current, newest = seen.current(spec.name), seen.newest(spec.name)
        if current is not None and not current.exited:
            return current.id  # made, and then somebody was interrupted
        parts = self._house.parts
        attempt = newest.attempt + 1 if newest is not None else 0
        await parts.volumes.prepare(pod)
        mounts = await parts.volumes.mounts(pod, spec, partial(parts.specs.variables, pod, spec, sandbox))
        config = await parts.specs.container(pod, spec, attempt=attempt, image=image, sandbox=sandbox, mounts=mounts)
        if isinstance(spec, EphemeralContainer) and spec.target_container_name:
            config = _beside(config, spec.target_container_name, seen)
        async with self._house.starts:  # not before: what it needs to know may have to be asked of a silent API
            container_id = await self._house.runtime.create_container(sandbox.id, config)
        parts.events.event(pod, NORMAL, "Created", f"Created container: {spec.name}", container=spec.name)
        return container_id

    async def _start(
        self, pod: Pod, spec: ContainerSpec, container_id: str, sandbox: Sandbox, seen: Observed
    ) -> float | None:
        runtime, parts = self._house.runtime, self._house.parts
        try:
            async with self._house.starts:
                await runtime.start_container(container_id)
        except Unavailable:
            raise
        except RuntimeFailure as error:
            return self._failed(pod, spec, error, "RunContainerError", SHOW_FAILURE_S)  # then it waits as after a crash
        self.waiting.pop(spec.name, None)
        parts.events.event(pod, NORMAL, "Started", f"Started container {spec.name}", container=spec.name)
        problem = await parts.hooks.started(pod, spec, container_id, self._house.address(pod, sandbox))
        if problem:
            parts.events.event(pod, WARNING, "FailedPostStartHook", problem, container=spec.name)
            self.waiting[spec.name] = Waiting("PostStartHookError", problem)
            seconds = pod.spec.termination_grace_period_seconds
            await runtime.stop_container(container_id, grace_period_s=GRACE_PERIOD_S if seconds is None else seconds)
        for old in seen.containers.get(spec.name, [])[KEPT_CONTAINERS - 1 :]:
            if old.sandbox_id:  # else the runtime has lost it already
                await runtime.remove_container(old.id)
        return None

    def _failed(self, pod: Pod, spec: ContainerSpec, error: RuntimeFailure, reason: str, again_s: float) -> float:
        self.waiting[spec.name] = Waiting(error.reason or reason, error.message)
        self._house.parts.events.event(pod, WARNING, "Failed", f"Error: {error.message}", container=spec.name)
        log.info("a container did not start", extra=self._fields(spec) | {"error": error.message})
        return self._rest(spec, again_s)

    def _rest(self, spec: ContainerSpec, again_s: float) -> float:
        """For so long nothing wakes it: what it waits with is written, which is news, and must not be tried at once."""
        self._resting[spec.name] = (spec.image, asyncio.get_running_loop().time() + again_s)
        return again_s

    def _wait_s(self, pod: Pod, spec: ContainerSpec, newest: Container | None) -> float:
        """How long to leave it alone: people should see a failure for a moment, and who ends again and again waits.
        Another image is another try."""
        image, until = self._resting.get(spec.name, ("", 0.0))
        left_s = until - asyncio.get_running_loop().time() if image == spec.image else 0.0
        if left_s > 0 or newest is None or not newest.exited:
            return left_s
        return self._crash_wait_s(pod, spec.name, newest)

    def _crash_wait_s(self, pod: Pod, name: str, ended: Container) -> float:
        """When it is over, the next wait is longer."""
        now = asyncio.get_running_loop().time()
        failed = self._ends.get(ended.id, now)
        left_s = self._crashes.left_s(name, failed=failed, now=now)
        if left_s > 0:
            delay = format_duration(round(self._crashes.delay_s(name) * 1e9))
            told = f"{self._key.name}_{self._key.namespace}({self._key.uid})"
            words = f"back-off {delay} restarting failed container={name} pod={told}"
            self.waiting[name] = Waiting("CrashLoopBackOff", words)
            words = f"Back-off restarting failed container {name} in pod {told}"
            self._house.parts.events.event(pod, WARNING, "BackOff", words, container=name)
            return left_s
        self._crashes.count(name, failed=failed, now=now)
        return 0.0

    # --- images -------------------------------------------------------------------------------------------

    async def _image(self, pod: Pod, spec: ContainerSpec, sandbox: Sandbox) -> tuple[Image | None, float | None]:
        """The image; or None and when to try again. Raises RuntimeFailure, NotYet."""
        name, policy, events = spec.image, spec.image_pull_policy or "IfNotPresent", self._house.parts.events
        _check_name(name)
        config = SandboxConfig(pod=self._key, attempt=sandbox.attempt, labels=pod.metadata.labels)
        pulled = not name.startswith(BUILT_IN) and policy != "Never"
        if not (pulled and policy == "Always"):
            found = await self._house.runtime.image(name, config=config)
            if found is not None:
                words = f'Container image "{name}" already present on machine'
                events.event(pod, NORMAL, "Pulled", words, container=spec.name)
                return found, None
        if not pulled:
            words = f'Container image "{name}" is not present with pull policy of Never'
            raise NotYet("ErrImageNeverPull", words)
        left_s = self._pull_wait_s(pod, spec)
        if left_s > 0:
            return None, left_s
        return await self._pull(pod, spec, config)

    def _pull_wait_s(self, pod: Pod, spec: ContainerSpec) -> float:
        """After failures, and how long still."""
        name = spec.image
        when, words = self._pull_failed.get(name, (0.0, ""))
        left_s = self._pulls.left_s(name, failed=when, now=asyncio.get_running_loop().time()) if words else 0.0
        if left_s > 0:
            told, events = f'Back-off pulling image "{name}"', self._house.parts.events
            self.waiting[spec.name] = Waiting("ImagePullBackOff", f"{told}: {words}")
            events.event(pod, NORMAL, "BackOff", told, container=spec.name)
            events.event(pod, WARNING, "Failed", "Error: ImagePullBackOff", container=spec.name)
        return left_s

    async def _pull(self, pod: Pod, spec: ContainerSpec, config: SandboxConfig) -> tuple[Image | None, float | None]:
        name, loop, events = spec.image, asyncio.get_running_loop(), self._house.parts.events
        credentials = await self._house.parts.specs.credentials(pod, name)
        events.event(pod, NORMAL, "Pulling", f'Pulling image "{name}"', container=spec.name)
        began = loop.time()
        try:
            async with self._house.pulls.place(registry_of(name)):
                image_id = await self._pull_as_somebody(name, config, credentials)
        except ImageFailure as error:
            now = loop.time()
            self._pulls.count(name, failed=now, now=now)
            reason = error.reason or "ErrImagePull"
            self._pull_failed[name] = (now, f"{reason}: {error.message}")
            self.waiting[spec.name] = Waiting(reason, error.message)
            log.info("an image could not be pulled", extra=self._fields(spec) | {"error": error.message})
            words = f'Failed to pull image "{name}": {error.message}'
            events.event(pod, WARNING, "Failed", words, container=spec.name)
            events.event(pod, WARNING, "Failed", f"Error: {reason}", container=spec.name)
            return None, self._rest(spec, SHOW_FAILURE_S)
        self._pull_failed.pop(name, None)
        took = f"{loop.time() - began:.3g}s"
        events.event(pod, NORMAL, "Pulled", f'Successfully pulled image "{name}" in {took}', container=spec.name)
        found = await self._house.runtime.image(name, config=config)
        return found or Image(id=image_id, names=(name,)), None

    async def _pull_as_somebody(self, name: str, config: SandboxConfig, credentials: Sequence[Credentials]) -> str:
        """With each of the credentials until one is taken. Raises ImageFailure: the last."""
        runtime = self._house.runtime
        for each in credentials[:-1]:
            try:
                return await runtime.pull_image(name, config=config, credentials=each)
            except ImageFailure as error:
                log.info("credentials were not taken", extra={"image": name, "error": error.message})
        return await runtime.pull_image(name, config=config, credentials=credentials[-1] if credentials else None)

    def _fields(self, spec: ContainerSpec) -> dict[str, str]:
        key = self._key
        return {"namespace": key.namespace, "pod": key.name, "uid": key.uid, "container": spec.name}


def _check_name(image: str) -> None:
    """Raises NotYet for what no registry could have."""
    try:
        repository_of(image)
    except ValueError as error:
        told = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {error}'
        raise NotYet("InvalidImageName", told, event="InspectFailed") from error


def _beside(config: ContainerConfig, target: str, seen: Observed) -> ContainerConfig:
    """It sees the processes of another container, which must run. Raises NotYet."""
    found = seen.current(target)
    if found is None or not found.running:
        raise NotYet("CreateContainerConfigError", f"unable to find target container {target}", event="Failed")
    namespaces = msgspec.structs.replace(config.namespaces, target=found.id)
    return msgspec.structs.replace(config, namespaces=namespaces)
