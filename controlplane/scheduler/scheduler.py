"""The scheduler: gives every pod without a node one that fits it, and says why when there is none.

What the informers show goes into the snapshot and the queue at once, in their handlers. One loop takes the next pod,
decides (explain.py, which does not wait), assumes the pod on its node and hands it to the binder; it gives way to
others every few milliseconds. Only the binder, the volumes and the conditions wait for the API server.

Pods that name another scheduler, or a node, are counted and never scheduled. What is in memory is made anew for each
term of leadership from what the API shows.
"""

from __future__ import annotations

import asyncio
import logging

from apiserver.api.core.persistent_volumes import PersistentVolume
from apiserver.api.core.pod import Pod
from controlplane.runtime.context import Context
from controlplane.runtime.controller import synced

from .assume import Assumptions
from .binder import Binder, Job
from .cluster import ClusterWatch
from .conditions import SCHEDULER_ERROR, Conditions
from .conditions import UNSCHEDULABLE as UNSCHEDULABLE_REASON
from .explain import Decider, Decision, message
from .hints import ANY_NODE, Hints, Weighing, hints_of
from .numbers import ERROR, SCHEDULED, UNSCHEDULABLE, Numbers
from .pod_info import PodInfo, Template, Templates
from .profile import Profile
from .queue import QueuedPod, SchedulingQueue
from .snapshot import Snapshot
from .volume_binding import VolumeBinding
from .volumes import PodVolumes, VolumePlan, Volumes

log = logging.getLogger("controlplane.scheduler")

#: How often a pod that changed under its binding is decided anew without a pause.
AT_ONCE_MAX = 5


class Scheduler:
    """A Part, and whom the binder tells how it went."""

    name = "scheduler"

    def __init__(self, context: Context, profile: Profile, numbers: Numbers | None = None) -> None:
        caches, options = context.caches, context.options
        self._context = context
        self._profile_name = options.scheduler_name
        self._pods = caches.pods
        self._templates = Templates()
        self.snapshot = Snapshot()
        self._decider = Decider(self.snapshot, profile, context.random)
        weighing = Weighing(profile.local_checks, profile.wide_filters, self.snapshot.namespaces)
        self.queue = SchedulingQueue(context.clock.monotonic, weighing.helps)
        self.assumptions = Assumptions(self.snapshot)
        self._volumes = Volumes(caches.persistent_volume_claims, caches.persistent_volumes, caches.storage_classes)
        binding = VolumeBinding(
            context.client,
            caches.persistent_volume_claims,
            reaches=self._reaches,
            timeout_s=options.volume_bind_timeout_s,
        )
        self._cluster = ClusterWatch(
            caches,
            self.snapshot,
            self.queue,
            self.assumptions,
            self._templates,
            scheduler_name=options.scheduler_name,
        )
        self._binder = Binder(context.client, binding, self)
        self._conditions = Conditions(context.client, context.clock)
        self._numbers = numbers or Numbers(context.metrics, self._profile_name)
        self._last_failure: tuple[Template, int, Decision] | None = None
        self._last_said: tuple[Decision, Hints, str] | None = None

    @property
    def idle(self) -> bool:
        """Nothing is to be decided, bound or said now. Pods may wait for something to change."""
        return self.queue.idle and self._conditions.idle

    async def run(self) -> None:
        await synced(self._cluster.informers, self.name)
        async with asyncio.TaskGroup() as group:
            for part in (self._binder, self._conditions):
                group.create_task(part.run(), name=part.name)
            await asyncio.sleep(0)  # they have begun
            group.create_task(self._schedule(), name="scheduling")

    async def _schedule(self) -> None:
        while True:
            queued = await self.queue.pop()
            self._numbers.lengths(self.queue)
            job = self._decide(queued)
            if job is not None:
                await self._binder.submit(job)
            await self._context.pace.breathe()

    # --- one pod --------------------------------------------------------------------------------------

    def _decide(self, queued: QueuedPod) -> Job | None:
        """None when it got no node."""
        info = queued.info
        pod = self._pods.cache.get(info.name, namespace=info.namespace)
        if pod is None or pod.metadata.uid != info.uid:
            self.queue.remove(info.uid)
            return None
        began = self._context.clock.monotonic()
        try:
            volumes = self._volumes.of(pod) if info.template.claims else None
            decision = self._decision(info, volumes)
            job = None if decision.node is None else self._on_its_way(queued, pod, decision.node, volumes)
        except Exception as error:  # of a filter or score, which users add too: this pod waits, the others go on
            log.exception("a pod could not be decided", extra={"pod": f"{info.namespace}/{info.name}"})
            self._numbers.attempt(ERROR, self._context.clock.monotonic() - began)
            self._tell(pod, SCHEDULER_ERROR, f"{type(error).__name__}: {error}")
            self.queue.requeue(queued)
            return None
        took_s = self._context.clock.monotonic() - began
        self._numbers.attempt(UNSCHEDULABLE if job is None else SCHEDULED, took_s)
        if job is None:
            self._keeps_waiting(queued, pod, decision)
        return job

    def _decision(self, info: PodInfo, volumes: PodVolumes | None) -> Decision:
        """What kept out one pod of a template keeps out the next, until something changes."""
        if volumes is not None:
            return self._decider.decide(info, volumes=volumes)
        if self._last_failure is not None:
            template, moment, decision = self._last_failure
            if template is info.template and moment == self._cluster.moment:
                return decision
        decision = self._decider.decide(info)
        if decision.node is None:
            self._last_failure = (info.template, self._cluster.moment, decision)
        return decision

    def _keeps_waiting(self, queued: QueuedPod, pod: Pod, decision: Decision) -> None:
        if self._last_said is None or self._last_said[0] is not decision:  # a thousand nodes' reasons are many
            hints = hints_of(decision.all_reasons) if decision.nodes else ANY_NODE
            self._last_said = (decision, hints, message(decision))
        _, hints, text = self._last_said
        self.queue.unschedulable(queued, hints)
        self._tell(pod, UNSCHEDULABLE_REASON, text)

    def _on_its_way(self, queued: QueuedPod, pod: Pod, node: str, volumes: PodVolumes | None) -> Job:
        """From here on the pod counts on its node; the job ends in one of the outcomes below."""
        info = queued.info
        plan = self._plan(volumes, node) if volumes is not None and volumes.delayed else None
        self.assumptions.assume(info, node)
        self.queue.binding(queued)
        self._cluster.moment += 1
        if plan is not None:
            self._volumes.promise(plan)
        return Job(queued=queued, pod=pod, node=node, resource_version=info.resource_version, volumes=plan)

    def _plan(self, volumes: PodVolumes, node: str) -> VolumePlan:
        found = self.snapshot.node(node)
        plan = volumes.plan(found.node) if found is not None and found.node is not None else None
        assert plan is not None, "the filter has just found one"
        return plan

    def _reaches(self, volume: PersistentVolume, node: str) -> bool:
        found = self.snapshot.node(node)
        return found is not None and found.node is not None and self._volumes.reaches(volume, found.node)

    def _tell(self, pod: Pod, reason: str, text: str) -> None:
        """On the pod and beside it."""
        self._context.recorder.event(pod, "Warning", "FailedScheduling", text, component=self._profile_name)
        self._conditions.say(pod, reason, text)

    # --- how bindings end -----------------------------------------------------------------------------

    def bound(self, job: Job) -> None:
        self._release_volumes(job)
        meta = job.pod.metadata
        self._conditions.drop(meta.uid)
        self._numbers.bound(self._context.clock.monotonic() - job.queued.first_seen)
        text = f"Successfully assigned {meta.namespace}/{meta.name} to {job.node}"
        self._context.recorder.event(job.pod, "Normal", "Scheduled", text, component=self._profile_name)

    def dropped(self, job: Job) -> None:
        self._forget(job)
        self._conditions.drop(job.pod.metadata.uid)
        self.queue.remove(job.pod.metadata.uid)

    def changed(self, job: Job, pod: Pod) -> None:
        self._forget(job)
        self.queue.put(self._templates.pod_info(self._pods.trim(pod) if self._pods.trim else pod))
        self.queue.requeue(job.queued, at_once=job.queued.attempts <= AT_ONCE_MAX)

    def failed(self, job: Job, why: str) -> None:
        self._forget(job)
        self._numbers.failed()
        self.queue.requeue(job.queued)
        self._tell(job.pod, SCHEDULER_ERROR, why)

    def _forget(self, job: Job) -> None:
        self._release_volumes(job)
        known = self.snapshot.pod(job.pod.metadata.uid)
        if self.assumptions.forget(job.pod.metadata.uid) and known is not None:
            self._cluster.room_on(job.node, known)

    def _release_volumes(self, job: Job) -> None:
        if job.volumes is not None:
            self._volumes.release(job.volumes)
