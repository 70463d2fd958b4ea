"""Containers of containerd, over the CRI (runtime.v1) on its socket.

Only what carries this node's label is seen: others may use the same containerd. What does not change any more is asked
for once: a list is two calls however many pods there are, plus one for each container whose phase is new.
"""

from __future__ import annotations

import asyncio
import logging
import math
import shutil
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nodeagent.errors import AgentError
from nodeagent.network.cni import write_conflist
from nodeagent.timings import Timing

from . import cgroups, container_files, cri_messages, log_files
from .containerd_config import SANDBOX_IMAGE
from .cri_exits import Exits
from .cri_signals import end_by, signal_number
from .gen import cri_pb2 as pb
from .interface import (
    Container,
    ContainerConfig,
    Credentials,
    Event,
    ExecResult,
    Health,
    Image,
    ImageFailure,
    LastWords,
    NotThere,
    PodKey,
    Resources,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Unavailable,
    Usage,
    Version,
)
from .rpc import CALL_WITHIN_S, AnswerType, Connection
from .unpacked import UnpackedLayers

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from .cri_streaming import CriStreaming

log = logging.getLogger(__name__)

SANDBOX_WITHIN_S = 240.0
PULL_WITHIN_S = 1800.0
STOP_EXTRA_S = 120.0
NETWORK_WITHIN_S = 5.0
ASK_EVERY_S = 0.02
BRIEF_BYTES_MAX = 1024 * 1024
_RUNTIME, _IMAGES = "/runtime.v1.RuntimeService/", "/runtime.v1.ImageService/"

Answer = TypeVar("Answer", bound="Message")


class CriSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`cgroup_parent`: the group that pods get theirs in, named from the top. `cni`: where containerd looks for the
    network's configuration; it is asked when None. `layers`: where it keeps what it unpacks; None when that is not ours
    to care for. `bridge` and `mtu` are that network's."""

    node: str
    socket: Path
    logs: Path
    cgroup_parent: str
    cni: Path | None
    leases: Path
    layers: Path | None = None
    bridge: str
    mtu: int


class _Cni(msgspec.Struct):
    folder: str = msgspec.field(name="confDir")


class _Config(msgspec.Struct):
    """What containerd says of its configuration, as far as we ask."""

    cni: _Cni


class CriRuntime:
    """A Runtime. Use it from one event loop; `close` when done."""

    def __init__(self, settings: CriSettings) -> None:
        self.connection = Connection(settings.socket)
        self._brief = Connection(settings.socket, answer_bytes_max=BRIEF_BYTES_MAX)
        self.mtu = settings.mtu  # of pods whose sandbox is made from now on
        self._settings = settings
        self._sandboxes: dict[str, Sandbox] = {}  # those that were ready when they were asked for
        self._addresses: dict[str, tuple[str, ...]] = {}  # of sandboxes: containerd forgets them when one ends
        self._bounded: set[str] = set()  # sandboxes whose pod's control group has the bounds it should have
        layers = settings.layers
        self._layers = UnpackedLayers(self.connection, layers) if layers is not None else None
        self._containers: dict[str, tuple[int, Container]] = {}  # with the state they had in the CRI's words

    @property
    def settings(self) -> CriSettings:
        return self._settings

    async def close(self) -> None:
        await self.connection.close()
        await self._brief.close()

    async def answers(self) -> bool:
        try:
            await self.version()
        except RuntimeFailure:
            return False
        return True

    async def version(self) -> Version:
        found = await self._call("Version", pb.VersionRequest(), pb.VersionResponse)
        return Version(name=found.runtime_name, version=found.runtime_version.lstrip("v"))

    async def health(self) -> Health:
        found = await self._call("Status", pb.StatusRequest(), pb.StatusResponse)
        conditions = {each.type: each for each in found.status.conditions}
        ready = conditions.get("RuntimeReady", pb.RuntimeCondition())
        network = conditions.get("NetworkReady", pb.RuntimeCondition())
        told = [each.message for each in (ready, network) if not each.status and each.message]
        return Health(ready=ready.status, network_ready=network.status, message="; ".join(told))

    async def update_pod_cidr(self, cidr: str) -> None:
        """containerd reads the new network as soon as it is written; we wait for that, for a while."""
        settings = self._settings
        folder = settings.cni or await self._cni_folder()
        leases, bridge, mtu = settings.leases, settings.bridge, self.mtu
        with _on_disk():
            await asyncio.to_thread(write_conflist, folder, cidr, leases=leases, bridge=bridge, mtu=mtu)
        with suppress(TimeoutError):  # whoever asks for our health is told
            async with asyncio.timeout(NETWORK_WITHIN_S):
                while not (await self.health()).network_ready:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(ASK_EVERY_S)

    async def _cni_folder(self) -> Path:
        found = await self._call("Status", pb.StatusRequest(verbose=True), pb.StatusResponse)
        try:
            return Path(msgspec.json.decode(found.info.get("config", ""), type=_Config).cni.folder)
        except msgspec.DecodeError as error:
            raise RuntimeFailure("containerd does not say where it looks for networks") from error

    # --- sandboxes ----------------------------------------------------------------------------------------

    async def run_sandbox(self, config: SandboxConfig) -> str:
        settings = self._settings
        folder = cri_messages.pod_folder(settings.logs, config.pod)
        with _on_disk():
            await asyncio.to_thread(folder.mkdir, mode=0o755, parents=True, exist_ok=True)
        message = cri_messages.sandbox_message(
            settings.node, config, logs=settings.logs, cgroup_parent=settings.cgroup_parent
        )
        request = pb.RunPodSandboxRequest(config=message)
        async with self._unpacking(SANDBOX_IMAGE):
            found = await self._call("RunPodSandbox", request, pb.RunPodSandboxResponse, within_s=SANDBOX_WITHIN_S)
        if problem := await self._bound(found.pod_sandbox_id, config.pod, config.resources):
            raise RuntimeFailure(problem)
        return found.pod_sandbox_id

    async def _bound(self, sandbox_id: str, pod: PodKey, resources: Resources) -> str:
        """Nothing runs without its bounds: a sandbox that cannot have them is stopped, and why is said."""
        group = cri_messages.cgroup_of(self._settings.cgroup_parent, pod)
        try:
            await asyncio.to_thread(cgroups.bound, group, resources)
        except OSError as error:
            await self.stop_sandbox(sandbox_id)
            return f"the pod's control group {group} cannot be bounded: {error}"
        self._bounded.add(sandbox_id)
        return ""

    async def _is_bounded(self, sandbox: Sandbox, resources: Resources) -> bool:
        """Looked after once in an agent's life: the one that made it may have ended before it came to that."""
        if sandbox.id in self._bounded or not (problem := await self._bound(sandbox.id, sandbox.pod, resources)):
            return True
        log.warning("a pod's sandbox was stopped", extra={"pod": sandbox.pod.name, "error": problem})
        return False

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self._sandboxes.pop(sandbox_id, None)
        request = pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._unless_gone("StopPodSandbox", request, pb.StopPodSandboxResponse, within_s=SANDBOX_WITHIN_S)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """With the pod's control group and logs, once the last of its sandboxes is gone."""
        try:
            pod = (await self.sandbox(sandbox_id)).pod
        except NotThere:
            return
        await self.stop_sandbox(sandbox_id)
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._unless_gone("RemovePodSandbox", request, pb.RemovePodSandboxResponse)
        if not await self.list_sandboxes(pod_uid=pod.uid):
            await asyncio.to_thread(self._remove_traces, pod)

    def _remove_traces(self, pod: PodKey) -> None:
        cgroups.remove(cri_messages.cgroup_of(self._settings.cgroup_parent, pod))
        shutil.rmtree(cri_messages.pod_folder(self._settings.logs, pod), ignore_errors=True)

    async def list_sandboxes(self, *, pod_uid: str = "") -> Sequence[Sandbox]:
        found = await self._list_sandboxes(pod_uid)
        if not pod_uid:
            known = {each.id for each in found}
            self._sandboxes = {key: value for key, value in self._sandboxes.items() if key in known}
            self._addresses = {key: value for key, value in self._addresses.items() if key in known}
            self._bounded &= known
        listed = []
        for each in found:
            kept = self._sandboxes.get(each.id)
            if kept is not None and each.state == pb.SANDBOX_READY:
                listed.append(kept)
            else:
                try:
                    listed.append(await self.sandbox(each.id))
                except NotThere:
                    continue  # it went meanwhile
        return listed

    async def _list_sandboxes(self, pod_uid: str) -> Sequence[pb.PodSandbox]:
        chosen = pb.PodSandboxFilter(label_selector=self._labels(pod_uid))
        request = pb.ListPodSandboxRequest(filter=chosen)
        return (await self._call("ListPodSandbox", request, pb.ListPodSandboxResponse)).items

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        found = await self._call("PodSandboxStatus", request, pb.PodSandboxStatusResponse)
        sandbox = cri_messages.sandbox_of(found.status)
        if sandbox.ready and not await self._is_bounded(sandbox, cri_messages.bounds_of(found.status)):
            sandbox = msgspec.structs.replace(sandbox, ready=False)
        if not sandbox.ips:
            sandbox = msgspec.structs.replace(sandbox, ips=self._addresses.get(sandbox_id, ()))
        self._addresses[sandbox_id] = sandbox.ips
        if sandbox.ready:
            self._sandboxes[sandbox_id] = sandbox
        else:
            self._sandboxes.pop(sandbox_id, None)
        return sandbox

    # --- containers ---------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        sandbox = self._sandboxes.get(sandbox_id) or await self.sandbox(sandbox_id)
        settings = self._settings
        folder = cri_messages.pod_folder(settings.logs, sandbox.pod) / config.name
        with _on_disk():
            files = await asyncio.to_thread(container_files.write_files, folder, config)
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox_id,
            config=cri_messages.container_message(settings.node, sandbox.pod, config, files),
            sandbox_config=cri_messages.sandbox_of_container(
                sandbox, config, logs=settings.logs, cgroup_parent=settings.cgroup_parent
            ),
        )
        async with self._unpacking(config.image_id or config.image):
            return (await self._call("CreateContainer", request, pb.CreateContainerResponse)).container_id

    async def start_container(self, container_id: str) -> None:
        request = pb.StartContainerRequest(container_id=container_id)
        await self._call("StartContainer", request, pb.StartContainerResponse)

    async def stop_container(self, container_id: str, *, grace_period_s: float, signal: str = "") -> None:
        number = signal_number(signal)
        if number and grace_period_s > 0:
            had_its_time = await end_by(self.connection, container_id, number, within_s=grace_period_s)
            grace_period_s = 0.0 if had_its_time else grace_period_s
        request = pb.StopContainerRequest(container_id=container_id, timeout=math.ceil(max(0.0, grace_period_s)))
        within_s = grace_period_s + STOP_EXTRA_S
        await self._unless_gone("StopContainer", request, pb.StopContainerResponse, within_s=within_s)

    async def remove_container(self, container_id: str) -> None:
        """With its log and last words, if we have seen the container."""
        _, known = self._containers.pop(container_id, (None, None))
        request = pb.RemoveContainerRequest(container_id=container_id)
        await self._unless_gone("RemoveContainer", request, pb.RemoveContainerResponse)
        if known is not None:
            log = self.log_file(known.pod, known.name, known.attempt)
            await asyncio.to_thread(log_files.remove_all, log)
            last_words = container_files.last_words_file(log.parent, known.attempt)
            await asyncio.to_thread(last_words.unlink, missing_ok=True)

    async def list_containers(self, *, pod_uid: str = "") -> Sequence[Container]:
        """One that containerd lost sight of is stopped for who asks for its pod, and missing in a list of all: else one
        that cannot be stopped would hide the others."""
        found = await self._list_containers(pod_uid)
        if not pod_uid:
            known = {each.id for each in found}
            self._containers = {key: value for key, value in self._containers.items() if key in known}
        listed = []
        for each in found:
            if each.state == pb.CONTAINER_UNKNOWN and not pod_uid:
                continue
            state, kept = self._containers.get(each.id, (None, None))
            if kept is None or state != each.state:
                try:
                    kept = await self._container(each)
                except NotThere:
                    continue  # it went meanwhile
            listed.append(kept)
        return listed

    async def _list_containers(self, pod_uid: str) -> Sequence[pb.Container]:
        request = pb.ListContainersRequest(filter=pb.ContainerFilter(label_selector=self._labels(pod_uid)))
        return (await self._call("ListContainers", request, pb.ListContainersResponse)).containers

    async def _container(self, listed: pb.Container) -> Container:
        if listed.state == pb.CONTAINER_UNKNOWN:  # perhaps it runs: it must not, before another one does
            await self.stop_container(listed.id, grace_period_s=0)
        request = pb.ContainerStatusRequest(container_id=listed.id)
        found = await self._call("ContainerStatus", request, pb.ContainerStatusResponse)
        container = cri_messages.container_of(found.status, listed.pod_sandbox_id)
        last_words = cri_messages.last_words_of(found.status)
        if container.exited and last_words is not None:
            told = [container.message, await self._last_words(container, last_words)]
            container = msgspec.structs.replace(container, message=": ".join(each for each in told if each))
        self._containers[listed.id] = (found.status.state, container)
        return container

    async def _last_words(self, container: Container, wanted: LastWords) -> str:
        log = self.log_file(container.pod, container.name, container.attempt)
        file = container_files.last_words_file(log.parent, container.attempt)
        failed = container.exit_code != 0
        return await asyncio.to_thread(container_files.read_last_words, wanted, file, log, failed=failed)

    def _labels(self, pod_uid: str) -> dict[str, str]:
        mine = {cri_messages.NODE: self._settings.node}
        return mine | {cri_messages.POD_UID: pod_uid} if pod_uid else mine

    def log_file(self, pod: PodKey, container: str, attempt: int) -> Path:
        """Lines in the CRI's form: a time, stdout or stderr, F or P (a part of a line), the text."""
        return cri_messages.pod_folder(self._settings.logs, pod) / container / f"{attempt}.log"

    async def reopen_log(self, container_id: str) -> None:
        """The log was put aside: write into a new file of its name."""
        request = pb.ReopenContainerLogRequest(container_id=container_id)
        await self._call("ReopenContainerLog", request, pb.ReopenContainerLogResponse)

    def timings(self) -> Mapping[str, Timing]:
        """Of calls, by method."""
        return self.connection.timings

    def streaming(self) -> CriStreaming:
        """For commands with streams and connections to ports; loaded when first asked for."""
        from .cri_streaming import CriStreaming

        return CriStreaming(self.connection)

    async def exec_sync(
        self, container_id: str, command: Sequence[str], *, timeout_s: float, brief: bool = False
    ) -> ExecResult:
        """Run it beside the container's own process. `brief`: to print more than 1 MiB is a failure, for many may be
        asked at once. Raises RuntimeFailure; TookTooLong, and then it was killed."""
        request = pb.ExecSyncRequest(container_id=container_id, cmd=command, timeout=max(1, math.ceil(timeout_s)))
        connection = self._brief if brief else self.connection
        found = await connection.call(
            _RUNTIME + "ExecSync", request, pb.ExecSyncResponse, within_s=timeout_s + CALL_WITHIN_S
        )
        return ExecResult(stdout=found.stdout, stderr=found.stderr, exit_code=found.exit_code)

    async def usage(self) -> Sequence[Usage]:
        """Of every container that runs."""
        request = pb.ListContainerStatsRequest(filter=pb.ContainerStatsFilter(label_selector=self._labels("")))
        found = await self._call("ListContainerStats", request, pb.ListContainerStatsResponse)
        return [
            Usage(
                pod=cri_messages.pod_of(each.attributes.labels),
                container=each.attributes.metadata.name,
                container_id=each.attributes.id,
                at=each.cpu.timestamp / 1e9,
                cpu_ns=each.cpu.usage_core_nano_seconds.value,
                memory_working_set=each.memory.working_set_bytes.value,
                memory_rss=each.memory.rss_bytes.value,
            )
            for each in found.stats
            if each.HasField("cpu")
        ]

    # --- images -------------------------------------------------------------------------------------------

    async def image(self, name: str, *, config: SandboxConfig | None = None) -> Image | None:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=name))
        found = await self._call("ImageStatus", request, pb.ImageStatusResponse, service=_IMAGES)
        return cri_messages.image_of(found.image) if found.HasField("image") else None

    async def pull_image(
        self, name: str, *, config: SandboxConfig | None = None, credentials: Credentials | None = None
    ) -> str:
        request = pb.PullImageRequest(image=pb.ImageSpec(image=name))
        if credentials is not None:
            request.auth.username, request.auth.password = credentials.username, credentials.password

        async def pull() -> str:
            found = await self._call(
                "PullImage", request, pb.PullImageResponse, service=_IMAGES, within_s=PULL_WITHIN_S
            )
            return found.image_ref

        try:
            return await (pull() if self._layers is None else self._layers.pulled(pull))
        except Unavailable:
            raise
        except RuntimeFailure as error:
            raise ImageFailure(error.message, reason=error.reason) from error

    async def list_images(self) -> Sequence[Image]:
        found = await self._call("ListImages", pb.ListImagesRequest(), pb.ListImagesResponse, service=_IMAGES)
        return [cri_messages.image_of(each) for each in found.images]

    async def remove_image(self, image_id: str) -> None:
        request = pb.RemoveImageRequest(image=pb.ImageSpec(image=image_id))
        try:
            await self._unless_gone("RemoveImage", request, pb.RemoveImageResponse, service=_IMAGES)
        finally:
            if self._layers is not None:
                self._layers.forget()

    # --- layers -------------------------------------------------------------------------------------------

    async def check_layers(self) -> None:
        """Once, before anything is started: what was unpacked when the power went cannot be trusted. Raises
        RuntimeFailure."""
        if self._layers is not None:
            runs = any(each.ready for each in await self.list_sandboxes())
            await self._layers.check(runs=runs, remove_dead=self._remove_dead)

    async def _remove_dead(self) -> None:
        for sandbox in await self.list_sandboxes():
            await self.remove_sandbox(sandbox.id)

    def _unpacking(self, image: str) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._layers is None else self._layers.of(image)

    # --- what happens -------------------------------------------------------------------------------------

    async def events(self) -> AsyncGenerator[Event, None]:
        exits = Exits(self.connection, self._what_runs, self.forget)
        async for uid in exits.pods():
            yield Event(uid)

    def forget(self, container_id: str) -> None:
        """Ask for its state anew: its reason came after its end."""
        self._containers.pop(container_id, None)

    async def _what_runs(self) -> Mapping[str, tuple[str, bool]]:
        sandboxes, containers = await self._list_sandboxes(""), await self._list_containers("")
        label = cri_messages.POD_UID
        found = {each.id: (each.labels[label], each.state == pb.SANDBOX_READY) for each in sandboxes}
        ended = pb.CONTAINER_EXITED
        return found | {each.id: (each.labels[label], each.state != ended) for each in containers}

    # --- calls --------------------------------------------------------------------------------------------

    async def _call(
        self,
        name: str,
        request: Message,
        answer: AnswerType[Answer],
        *,
        service: str = _RUNTIME,
        within_s: float = CALL_WITHIN_S,
    ) -> Answer:
        return await self.connection.call(service + name, request, answer, within_s=within_s)

    async def _unless_gone(
        self,
        name: str,
        request: Message,
        answer: AnswerType[Answer],
        *,
        service: str = _RUNTIME,
        within_s: float = CALL_WITHIN_S,
    ) -> None:
        try:
            await self._call(name, request, answer, service=service, within_s=within_s)
        except NotThere:
            return


@contextmanager
def _on_disk() -> Iterator[None]:
    """A file that cannot be made is a failure of the call that needs it."""
    try:
        yield
    except (AgentError, OSError) as error:
        raise RuntimeFailure(str(error)) from error
