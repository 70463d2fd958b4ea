"""The volumes of this node's pods, for their workers: made, mounted, and gone in the end.

What one pod has is touched by one call at a time, whoever is cancelled. What is known here of a pod is found again on
the disk when it is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.containers import VolumeMount
from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import Volume
from apiserver.api.errors import ApiError
from nodeagent.house import NotYet, Variables
from nodeagent.references import References
from nodeagent.runtime.interface import Mount, PodKey
from nodeagent.status import Ending

from .failures import CannotMount
from .files_work import elsewhere, in_thread
from .folders import PodFolders
from .kinds import Kinds, Ready
from .subpaths import CONFIG_ERROR, show, sub_path_of
from .tokens import Tokens

log = logging.getLogger(__name__)

AGAIN_FIRST_S, AGAIN_MAX_S = 1.0, 30.0


class OnePod:
    """What is known of a pod's volumes. `pod`: as a worker saw it last. `due`: its files are to be looked at now;
    `written_at`: when they were last, by the loop's clock. `ending`: why it must end."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.pod: Pod | None = None
        self.ready: dict[str, Ready] = {}
        self.failures = 0
        self.due = False
        self.written_at = -math.inf
        self.ending: Ending | None = None


class PodVolumes:
    """Volumes of a node with real containers."""

    def __init__(self, folders: PodFolders, references: References, tokens: Tokens, kinds: Kinds) -> None:
        self.folders = folders
        self.kinds = kinds
        self.pods: dict[str, OnePod] = {}
        self.news = asyncio.Event()  # some pod is due
        self.wake: Callable[[str], None] = _nobody_listens
        self.known: Collection[str] | None = None
        self.known_came = asyncio.Event()
        self._references = references
        self._tokens = tokens

    # --- for workers --------------------------------------------------------------------------------------

    async def prepare(self, pod: Pod) -> None:
        """Raises NotYet."""
        self._references.pod_came(pod)
        mine = self.pods.setdefault(pod.metadata.uid, OnePod())
        async with mine.lock:
            missing = [each for each in used_volumes(pod) if each.name not in mine.ready]
            results = await asyncio.gather(*(self._make(pod, each, mine) for each in missing), return_exceptions=True)
            problem = next((each for each in results if isinstance(each, BaseException)), None)
            if problem is None:
                mine.failures = 0
                return
            if isinstance(problem, NotYet):
                problem.again_s = min(AGAIN_MAX_S, AGAIN_FIRST_S * 2**mine.failures)
                mine.failures = min(mine.failures + 1, 10)
            raise problem

    async def mounts(self, pod: Pod, spec: ContainerSpec, variables: Variables) -> Sequence[Mount]:
        """Raises NotYet."""
        if spec.volume_devices:
            raise NotYet(CONFIG_ERROR, "volumeDevices are not supported here", event="Failed")
        mine = self.pods.setdefault(pod.metadata.uid, OnePod())
        known = await variables() if any(each.sub_path_expr for each in spec.volume_mounts) else {}
        async with mine.lock:
            return [
                await self._mount(pod, spec, number, each, mine, known)
                for number, each in enumerate(spec.volume_mounts)
            ]

    async def release(self, pod: PodKey) -> None:
        """Raises NotYet when something of it cannot be removed."""
        mine = self.pods.setdefault(pod.uid, OnePod())
        async with mine.lock:
            try:
                await in_thread(self.folders.remove, pod.uid)
            except (OSError, CannotMount) as error:
                log.warning("volumes of a pod are still there", extra={"uid": pod.uid, "error": str(error)})
                words = f"volumes cannot be removed: {error}"
                raise NotYet("ContainerCreating", words, event="FailedUnMount") from error
            self.forget(pod.uid)
            if self.pods.get(pod.uid) is mine:
                del self.pods[pod.uid]

    def forget(self, uid: str) -> None:
        """What was read for a pod that is gone."""
        self._references.pod_went(uid)
        self._tokens.forget(uid)

    def listen(self, changed: Callable[[str], None]) -> None:
        self.wake = changed

    def look(self, pod: Pod) -> Ending | None:
        """Its files follow it; why it must end."""
        self._references.pod_came(pod)
        mine = self.pods.setdefault(pod.metadata.uid, OnePod())
        known, mine.pod = mine.pod, pod
        if known is None:
            mine.due = mine.due or self.folders.of(pod.metadata.uid).exists()  # an agent before us made them
        elif _told_of_itself(known) != _told_of_itself(pod):
            self._references.pod_changed(pod)
            mine.due = True
        if mine.due:
            self.news.set()
        return mine.ending

    def keep_only(self, uids: Collection[str]) -> None:
        self.known = uids
        self.known_came.set()
        for mine in self.pods.values():  # who began without the API may lack what it needs for it
            mine.due = True
        self.news.set()

    # --- one volume ---------------------------------------------------------------------------------------

    async def _make(self, pod: Pod, volume: Volume, mine: OnePod) -> None:
        """Raises NotYet."""
        try:
            mine.ready[volume.name] = await self.kinds.make(pod, volume, alone=self.known is None)
        except (ApiError, CannotMount, OSError) as error:
            words = f'MountVolume.SetUp failed for volume "{volume.name}" : {error}'
            raise NotYet("ContainerCreating", words, event="FailedMount") from error

    async def _mount(
        self,
        pod: Pod,
        spec: ContainerSpec,
        number: int,
        wanted: VolumeMount,
        mine: OnePod,
        variables: Mapping[str, str],
    ) -> Mount:
        """Raises NotYet."""
        ready = mine.ready.get(wanted.name)
        if ready is None:
            words = f'cannot find volume "{wanted.name}" to mount into container "{spec.name}"'
            raise NotYet(CONFIG_ERROR, words, event="Failed")
        if wanted.recursive_read_only == "Enabled":
            raise NotYet(CONFIG_ERROR, "recursiveReadOnly is not supported here", event="Failed")
        path, sub_path = ready.path, sub_path_of(wanted, variables)
        if sub_path:
            try:
                path = self.folders.subpath(pod.metadata.uid, wanted.name, spec.name, number)
                work = in_thread if ready.path.is_relative_to(self.folders.root) else elsewhere
                await work(show, ready.path, sub_path, path, read_only=ready.read_only)
            except (CannotMount, OSError) as error:
                words = f'failed to prepare subPath for volumeMount "{wanted.name}" of container "{spec.name}"'
                raise NotYet(CONFIG_ERROR, f"{words}: {error}", event="Failed") from error
        return Mount(
            host_path=str(path),
            container_path=wanted.mount_path,
            read_only=wanted.read_only or ready.read_only,
            propagation=wanted.mount_propagation or "",
        )


def used_volumes(pod: Pod) -> Iterator[Volume]:
    """What no container mounts is not made, as on Kubernetes."""
    spec = pod.spec
    containers = (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)
    names = {mount.name for container in containers for mount in container.volume_mounts}
    return (each for each in spec.volumes if each.name in names)


def _told_of_itself(pod: Pod) -> object:
    """What of a pod can change and is in its files."""
    return pod.metadata.labels, pod.metadata.annotations


def _nobody_listens(_: str) -> None:
    return
