"""Writes the status of pods, and deletes those that have ended, for one node or many in one process.

Pods run on whether or not the API answers, so nobody waits for a write: who has a status leaves it here, the last one
counts, and a few writers carry them out. What must hold:
- Nothing is written when the API shows the same already.
- What is no news to anybody (`patient`) is written PATIENCE_S later, as it is then: a pod that runs by that time costs
  one write. All else is written at once.
- A write names the uid, so that it can never hit another pod of the same name, and the resourceVersion that it was
  merged with, so that conditions of others are not lost.
- A pod that is being deleted goes from the API only after its last status is there: `delete` with grace period 0.
- What waits is bounded by the number of pods; what is in flight by the number of writers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec

from apiserver.api.core.pod import Pod, PodStatus
from apiserver.api.errors import ApiError, Conflict, Forbidden, Invalid, NotFound
from apiserver.api.meta import DeleteOptions, Preconditions
from apiserver.client import Client
from apiserver.client.retry import Backoff
from apiserver.client.watching import is_later

from .clock import Wall, timestamp
from .conditions import merged
from .phase import FINISHED

log = logging.getLogger(__name__)

WRITERS = 8
TRIES_AT_ONCE = 3
PATIENCE_S = 2.0
RETRY = Backoff(first_s=0.25, longest_s=10.0)
#: What a node says of a pod. All else in a status is others'.
_OWN_FIELDS = (
    "phase",
    "conditions",
    "message",
    "reason",
    "host_ip",
    "host_ips",
    "pod_ip",
    "pod_ips",
    "start_time",
    "init_container_statuses",
    "container_statuses",
    "ephemeral_container_statuses",
)


class _Entry:
    """`pod`: as the API showed it last. `wanted`: what waits to be written. `coming`: the pod as the write under way
    makes it. `echo`: the resource version that our last write made. `ahead`: we read the pod ourselves, and the watch
    has not shown yet what others did to it. `waits`: for the moment when a patient status is written."""

    __slots__ = ("ahead", "coming", "delete", "echo", "failures", "in_flight", "pod", "queued", "waits", "wanted")

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.coming: Pod | None = None
        self.echo = ""
        self.ahead = False
        self.wanted: PodStatus | None = None
        self.delete = False
        self.queued = False
        self.in_flight = False
        self.failures = 0
        self.waits: asyncio.TimerHandle | None = None

    def wait_no_more(self) -> None:
        if self.waits is not None:
            self.waits.cancel()
            self.waits = None


class StatusWriter:
    """`run` writes until it is cancelled."""

    def __init__(
        self,
        client: Client,
        *,
        writers: int = WRITERS,
        wall: Wall = time.time,
        random: Random | None = None,
        listeners: Sequence[Callable[[Pod, PodStatus], None]] = (),
    ) -> None:
        """`listeners` are told at once what is to be written, whether or not the API answers."""
        self.written = 0
        self._listeners = listeners
        self._client = client
        self._writers = writers
        self._wall = wall
        self._random = random or Random()
        self._entries: dict[str, _Entry] = {}  # by uid
        self._queue: asyncio.Queue[str] = asyncio.Queue()  # each uid at most once

    def saw(self, pod: Pod) -> Pod:
        """The API shows the pod like this; what a write was answered may be newer. Gives the newest."""
        entry = self._entries.get(pod.metadata.uid)
        if entry is None:
            entry = self._entries[pod.metadata.uid] = _Entry(pod)
        elif not is_later(entry.pod.metadata.resource_version, pod.metadata.resource_version):
            entry.pod = pod
            entry.ahead = False
        return entry.pod

    def is_echo(self, pod: Pod) -> bool:
        """Only our own write made it like this: it was merged with what we knew, so there is no news in it. A watch is
        often faster than the answer to the write."""
        entry = self._entries.get(pod.metadata.uid)
        if entry is None:
            return False
        comes = entry.coming is not None and not entry.ahead and _same_but_for_version(pod, entry.coming)
        return comes or entry.echo == pod.metadata.resource_version

    def set(self, pod: Pod, status: PodStatus, *, delete: bool = False, patient: bool = False) -> None:
        """Write this, unless the API shows it already; then delete the pod, if `delete`. Conditions need no times.
        `patient`: nobody waits for it."""
        self.saw(pod)
        entry = self._entries[pod.metadata.uid]
        entry.wanted = status
        entry.delete = entry.delete or delete
        if not patient or entry.queued or entry.in_flight:
            self._enqueue(pod.metadata.uid, entry)
        elif entry.waits is None:
            entry.waits = asyncio.get_running_loop().call_later(PATIENCE_S, self._again, pod.metadata.uid)
        for tell in self._listeners:
            tell(pod, status)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._entries.pop(uid, None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._writers):
                group.create_task(self._work(), name=f"status writer {number}")

    # --- how it works -------------------------------------------------------------------------------------

    def _enqueue(self, uid: str, entry: _Entry) -> None:
        entry.wait_no_more()
        if not entry.queued and not entry.in_flight:
            entry.queued = True
            self._queue.put_nowait(uid)

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            entry = self._entries.get(uid)
            if entry is None:
                continue
            entry.queued = False
            entry.in_flight = True
            try:
                retry = not await self._carry_out(entry)
            finally:
                entry.in_flight = False
                entry.coming = None
            if retry:
                delay_s = RETRY.wait_s(entry.failures, self._random)
                entry.failures += 1
                asyncio.get_running_loop().call_later(delay_s, self._again, uid)
            else:
                entry.failures = 0
                if entry.wanted is not None:
                    self._enqueue(uid, entry)

    def _again(self, uid: str) -> None:
        entry = self._entries.get(uid)
        if entry is not None:
            self._enqueue(uid, entry)

    async def _carry_out(self, entry: _Entry) -> bool:
        """Whether it is done, or will never be; a status that came in between stays wanted."""
        status, delete = entry.wanted, entry.delete
        try:
            if status is not None:
                await self._write(entry, status)
            if entry.wanted is status:
                entry.wanted = None
                if delete:
                    await self._delete(entry)
        except NotFound:
            entry.wanted = None  # whoever watches the pod hears that it is gone
        except (Forbidden, Invalid) as error:
            entry.wanted = None  # the same again would be refused again
            log.error("a pod's status was refused", extra=_fields(entry.pod) | {"error": error.message})
        except ApiError as error:
            entry.wanted = entry.wanted or status
            log.warning("a pod's status could not be written", extra=_fields(entry.pod) | {"error": error.message})
            return False
        except Exception:
            entry.wanted = entry.wanted or status
            log.exception("writing a pod's status failed", extra=_fields(entry.pod))
            return False
        return True

    async def _write(self, entry: _Entry, status: PodStatus) -> None:
        """Raises ApiError; Conflict only when somebody was faster each time."""
        for attempt in range(TRIES_AT_ONCE):
            pod = entry.pod
            complete = completed(pod.status, status, now=timestamp(self._wall()))
            patch = status_patch(pod.status, complete)
            if not patch:
                return
            entry.coming = msgspec.structs.replace(pod, status=complete)
            meta = pod.metadata
            body = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "status": patch}
            try:
                answer = await self._client.patch(Pod, meta.name, body, namespace=meta.namespace, subresource="status")
            except Conflict:
                if attempt == TRIES_AT_ONCE - 1:
                    raise
                await self._look_again(entry)
                continue
            self.written += 1
            entry.echo = "" if entry.ahead else answer.metadata.resource_version
            self._answered(entry, answer)
            return

    async def _look_again(self, entry: _Entry) -> None:
        """Raises NotFound when there is another pod by now."""
        meta = entry.pod.metadata
        found = await self._client.get(Pod, meta.name, namespace=meta.namespace)
        if found.metadata.uid != meta.uid:
            raise NotFound(f"pod {meta.namespace}/{meta.name} is another one by now")
        entry.ahead = True
        self._answered(entry, found)

    def _answered(self, entry: _Entry, answer: Pod) -> None:
        """Of the answer only what changes is kept: specs are large, and the watch brings them anyway."""
        if is_later(answer.metadata.resource_version, entry.pod.metadata.resource_version):
            entry.pod = msgspec.structs.replace(entry.pod, metadata=answer.metadata, status=answer.status)

    async def _delete(self, entry: _Entry) -> None:
        meta = entry.pod.metadata
        options = DeleteOptions(grace_period_seconds=0, preconditions=Preconditions(uid=meta.uid))
        try:
            await self._client.delete(Pod, meta.name, namespace=meta.namespace, options=options)
        except Conflict:
            return  # another pod has the name by now
        except Forbidden as error:
            # a node has no rights to a pod that is gone, and so cannot be told that it is (docs/divergence.md)
            log.info("a pod is this node's no more", extra=_fields(entry.pod) | {"reason": error.message})


def completed(known: PodStatus, own: PodStatus, *, now: str) -> PodStatus:
    """`known`, with what the node says of it. An end that is known stays, whoever wrote it: a pod that somebody else
    Failed has been replaced."""
    if known.phase in FINISHED:
        own = msgspec.structs.replace(own, phase=known.phase, reason=known.reason, message=known.message)
    own = msgspec.structs.replace(own, conditions=merged(own.conditions, known.conditions, now))
    return msgspec.structs.replace(known, **{name: getattr(own, name) for name in _OWN_FIELDS})


def status_patch(known: PodStatus, complete: PodStatus) -> dict[str, Any]:
    """The merge patch that makes one of the other; {} when they say the same."""
    before, after = msgspec.to_builtins(known), msgspec.to_builtins(complete)
    return {name: after.get(name) for name in before | after if after.get(name) != before.get(name)}


def _same_but_for_version(pod: Pod, other: Pod) -> bool:
    """Nor do the managers of its fields matter: a watch does not show them to us."""
    meta = msgspec.structs.replace(
        other.metadata, resource_version=pod.metadata.resource_version, managed_fields=pod.metadata.managed_fields
    )
    return pod.status == other.status and pod.metadata == meta and pod.spec == other.spec


def _fields(pod: Pod) -> dict[str, str]:
    return {"namespace": pod.metadata.namespace, "pod": pod.metadata.name, "uid": pod.metadata.uid}
