"""Takes decided pods to their nodes: volumes first, then the binding, at most BINDINGS_MAX at once.

A binding names the pod's uid and version, so it puts the very pod that was looked at onto a node, and that
at most once. The API server compares it with what the node has left: nobody can over-commit one, whoever else binds at
the same time. How a binding may end:

- it is answered: the pod is on its node; the informer will show it.
- refused: somebody reads the pod to see what it was. Gone, ending or on a node already: nothing is left to do. Changed
  since: it is decided anew at once, as it is now. Unchanged: the node would not have it; it is tried again after some
  time.
- nobody knows (no answer came): the pod is read until somebody answers, and the room is kept until then. Should the
  binding happen after that all the same, the cluster shows it like a binding by somebody else.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import msgspec

from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError, Conflict, Fenced, NotFound
from apiserver.client import Client
from apiserver.client.pods import bind
from apiserver.client.retry import Backoff
from controlplane.runtime.reconciler import Request

from .queue import QueuedPod
from .volume_binding import VolumeBinding, VolumesNotBound
from .volumes import VolumePlan

log = logging.getLogger("controlplane.scheduler")

#: Enough to fill the batches of the store. Each takes a connection with its buffers, on both sides in one process.
BINDINGS_MAX = 48
#: Decided and not being bound yet: the scheduler waits when there are more.
AHEAD_MAX = 256
#: Pods that wait for their volumes at once.
VOLUMES_MAX = 256
_AGAIN = Backoff(first_s=0.1, longest_s=5.0)


class Job(msgspec.Struct, kw_only=True):
    """A pod on its way to `node`; `resource_version` is that of the pod that was decided."""

    queued: QueuedPod
    pod: Pod
    node: str
    resource_version: str
    volumes: VolumePlan | None = None

    @property
    def name(self) -> Request:
        return Request.of(self.pod)


class Outcomes(Protocol):
    """Whom the binder tells how it went. Each job ends in exactly one of these."""

    def bound(self, job: Job) -> None: ...

    def dropped(self, job: Job) -> None:
        """Nothing is left to do: the pod is gone, ends, or is on another node."""

    def changed(self, job: Job, pod: Pod) -> None:
        """It is another version by now, and still has no node."""

    def failed(self, job: Job, why: str) -> None:
        """It certainly is not bound."""


class Binder:
    """A Part: `run` binds what `submit` was given."""

    name = "binder"

    def __init__(
        self,
        client: Client,
        volumes: VolumeBinding,
        outcomes: Outcomes,
        *,
        bindings_max: int = BINDINGS_MAX,
    ) -> None:
        self._client = client
        self._volumes = volumes
        self._outcomes = outcomes
        self._bindings_max = bindings_max
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()  # bounded by _room
        self._room = asyncio.Semaphore(AHEAD_MAX)
        self._waiting_for_volumes = 0
        self._group: asyncio.TaskGroup | None = None

    async def submit(self, job: Job) -> None:
        """While `run` runs. Waits while too many are on their way."""
        if not job.volumes:
            await self._room.acquire()
            self._jobs.put_nowait(job)
        elif self._waiting_for_volumes >= VOLUMES_MAX or self._group is None:
            self._outcomes.failed(job, f"binding volumes: {VOLUMES_MAX} pods wait for theirs already")
        else:
            self._waiting_for_volumes += 1
            self._group.create_task(self._prepare(job), name=f"volumes of {job.name}")

    async def run(self) -> None:
        """Until it is cancelled. Raises Fenced."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for _ in range(self._bindings_max):
                group.create_task(self._work(), name="binding")

    async def _prepare(self, job: Job) -> None:
        assert job.volumes is not None
        try:
            await self._volumes.carry_out(job.volumes)
        except VolumesNotBound as error:
            self._outcomes.failed(job, str(error))
            return
        except Fenced:
            raise
        except Exception as error:
            self._broken(job, error)
            return
        finally:
            self._waiting_for_volumes -= 1
        await self._room.acquire()
        self._jobs.put_nowait(job)

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                await self._bind(job)
            except Fenced:
                raise
            except Exception as error:
                self._broken(job, error)
            finally:
                self._room.release()

    def _broken(self, job: Job, error: Exception) -> None:
        """A defect of ours, met with one pod: it is tried again, and the others go on."""
        log.exception("a binding is broken", extra={"pod": str(job.name), "node": job.node})
        self._outcomes.failed(job, f"{type(error).__name__}: {error}")

    async def _bind(self, job: Job) -> None:
        meta = job.pod.metadata
        try:
            await bind(
                self._client,
                meta.name,
                job.node,
                namespace=meta.namespace,
                uid=meta.uid,
                resource_version=job.resource_version,
            )
        except Fenced:
            raise
        except NotFound:
            self._outcomes.dropped(job)
        except ApiError as error:
            if error.definite and not isinstance(error, Conflict):
                self._outcomes.failed(job, error.message)
            else:
                await self._settle(job, error)
        else:
            self._outcomes.bound(job)

    async def _settle(self, job: Job, error: ApiError) -> None:
        """Find out from the pod itself how it ended."""
        log.debug("a binding is looked into", extra={"pod": str(job.name), "node": job.node, "error": error.message})
        pod = await self._read(job)
        meta = job.pod.metadata
        if pod is None or pod.metadata.uid != meta.uid:
            self._outcomes.dropped(job)
        elif pod.spec.node_name == job.node:
            self._outcomes.bound(job)
        elif pod.spec.node_name or pod.metadata.deletion_timestamp is not None:
            self._outcomes.dropped(job)
        elif pod.metadata.resource_version != job.resource_version:
            self._outcomes.changed(job, pod)
        else:
            self._outcomes.failed(job, error.message)

    async def _read(self, job: Job) -> Pod | None:
        """None when there is none. Asks until somebody answers. Raises Fenced."""
        caller, failures = self._client.caller, 0
        while True:
            try:
                return await self._client.get(Pod, job.name.name, namespace=job.name.namespace)
            except NotFound:
                return None
            except Fenced:
                raise
            except ApiError as error:
                log.warning(
                    "how a binding ended is not known yet", extra={"pod": str(job.name), "error": error.message}
                )
                await caller.sleep(_AGAIN.wait_s(failures, caller.random))
                failures += 1
