"""What each kind of volume is on the node: files that follow what they are made from, or a folder that is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import Volume, VolumeSource
from apiserver.api.node_folders import own_folder
from apiserver.client import Client
from nodeagent.references import References
from nodeagent.spec.fields import Place

from .claims import Claimed, claimed, mark, place_of
from .config import config_map_files, secret_files
from .downward_api import downward_files
from .empty_dir import make_empty_dir
from .failures import CannotMount
from .files_work import elsewhere, in_thread
from .folders import ClaimNote, PodFolders, make_parents
from .host_path import host_path
from .ownership import give_to_group
from .payload import Payload
from .projected import projected_files
from .tokens import Tokens
from .writing import write


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that can be mounted."""

    path: Path
    read_only: bool = False


class Kinds:
    """`memory`: bytes that the node has. Everything raises ApiError, CannotMount, OSError."""

    def __init__(
        self,
        client: Client,
        folders: PodFolders,
        references: References,
        tokens: Tokens,
        *,
        node: str,
        place: Place,
        memory: int,
    ) -> None:
        self._client = client
        self._folders = folders
        self._references = references
        self._tokens = tokens
        self._node = node
        self._place = place
        self._memory = memory

    async def make(self, pod: Pod, volume: Volume, *, alone: bool = False) -> Ready:
        """Nothing that is there already is made again. `alone`: the API has said nothing yet to this agent."""
        if has_files(volume):
            if not await in_thread(self._was_written, pod, volume):
                await self.write(pod, volume, await self.payload(pod, volume, alone=alone))
            return Ready(path=self._place_of_files(pod, volume), read_only=True)
        if volume.empty_dir is not None:
            made = await in_thread(
                make_empty_dir,
                self._folders,
                pod,
                volume.name,
                volume.empty_dir,
                group=group_of(pod),
                memory=self._memory,
            )
            return Ready(path=made)
        if volume.host_path is not None:
            source = volume.host_path
            return Ready(path=await elsewhere(host_path, source.path, source.type or ""))
        if volume.persistent_volume_claim is not None or volume.ephemeral is not None:
            return await self._claimed(pod, volume)
        raise CannotMount(f"volumes of kind {', '.join(_kinds_of(volume)) or 'none'} are not supported here")

    # --- files --------------------------------------------------------------------------------------------

    def _was_written(self, pod: Pod, volume: Volume) -> bool:
        """To its end, by an agent before us: then it will do for a start, also while the API is away, and is looked at
        anew beside that."""
        return self.is_there(pod, volume) and self._folders.done(pod.metadata.uid, volume.name).exists()

    async def write(self, pod: Pod, volume: Volume, payload: Payload) -> bool:
        """Whether anything changed."""
        place = self._place_of_files(pod, volume)
        return await in_thread(self._write, pod.metadata.uid, _in_memory(volume), place, payload, group_of(pod))

    def is_there(self, pod: Pod, volume: Volume) -> bool:
        """One that has files: whether they were ever written."""
        return self._place_of_files(pod, volume).is_dir()

    def _write(self, uid: str, in_memory: bool, place: Path, payload: Payload, group: int | None) -> bool:
        if in_memory:
            self._folders.ensure_memory(uid)
        changed = write(make_parents(place), payload, group=group)
        done = self._folders.done(uid, place.name)
        if not done.exists():
            make_parents(done).touch()
        return changed

    def _place_of_files(self, pod: Pod, volume: Volume) -> Path:
        where = self._folders.in_memory if _in_memory(volume) else self._folders.volume
        return where(pod.metadata.uid, volume.name)

    async def payload(self, pod: Pod, volume: Volume, *, alone: bool = False) -> Payload:
        """Of a volume that has files: as they are to be now. The API is asked, which may take its time."""
        references, namespace = self._references, pod.metadata.namespace
        if volume.config_map is not None:
            return await config_map_files(references, namespace, volume.config_map, volume.config_map.default_mode)
        if volume.secret is not None:
            return await secret_files(references, namespace, volume.secret, volume.secret.default_mode)
        if volume.downward_api is not None:
            source = volume.downward_api
            return downward_files(pod, source.items, source.default_mode, self._place)
        assert volume.projected is not None
        return await projected_files(
            pod, volume.projected, references=references, tokens=self._tokens, place=self._place, alone=alone
        )

    # --- claims -------------------------------------------------------------------------------------------

    async def _claimed(self, pod: Pod, volume: Volume) -> Ready:
        """What this pod had of an agent before us it keeps: to start a container again needs no answer of the API."""
        known = await elsewhere(self._folders.remembered, pod.metadata.uid, volume.name)
        if known is not None:
            return Ready(path=Path(known.path), read_only=known.read_only)
        found = await claimed(pod, volume, self._references, self._node)
        if own_folder(found.volume):
            await mark(self._client, found.volume)
        place = await elsewhere(self._place_of_claimed, pod, volume, found)
        note = ClaimNote(path=str(place), read_only=found.read_only)
        await in_thread(self._folders.remember, pod.metadata.uid, volume.name, note)
        return Ready(path=place, read_only=found.read_only)

    def _place_of_claimed(self, pod: Pod, volume: Volume, found: Claimed) -> Path:
        self._folders.claim(pod.metadata.uid, found.volume.metadata.name)
        place, group = place_of(found.volume), group_of(pod)
        done = self._folders.done(pod.metadata.uid, volume.name)
        if group is None or found.read_only or not found.grouped or done.exists():
            return place
        context = pod.spec.security_context
        policy = context.fs_group_change_policy if context is not None else None
        give_to_group(place, group, policy=policy or "")
        make_parents(done).touch()  # from now on who owns what is the pod's business
        return place


def has_files(volume: Volume) -> bool:
    return bool(volume.config_map or volume.secret or volume.downward_api or volume.projected)


def group_of(pod: Pod) -> int | None:
    context = pod.spec.security_context
    return context.fs_group if context is not None else None


def _in_memory(volume: Volume) -> bool:
    return volume.secret is not None or volume.projected is not None


def _kinds_of(volume: Volume) -> Iterable[str]:
    fields = zip(VolumeSource.__struct_fields__, VolumeSource.__struct_encode_fields__, strict=True)
    return [shown for name, shown in fields if getattr(volume, name) is not None]
