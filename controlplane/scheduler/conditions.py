"""Says on the pod itself why it has no node: the condition PodScheduled, written only when it says something new.

Writing never holds up scheduling: of each pod the last thing to say waits, and a few writers say it. The pod is patched
at the version that was seen, since its other conditions, which the patch carries too, may be somebody else's: when it
has changed since, its next decision says it again. Of pods with gates the API server says so itself.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from apiserver.api.core.pod import Pod, PodCondition
from apiserver.api.errors import ApiError, Conflict, Fenced, NotFound
from apiserver.client import Client
from controlplane.runtime.clock import Clock

log = logging.getLogger("controlplane.scheduler")

POD_SCHEDULED = "PodScheduled"
UNSCHEDULABLE, SCHEDULER_ERROR = "Unschedulable", "SchedulerError"
WRITERS = 8


class Said(msgspec.Struct, frozen=True):
    """About one pod, as it was."""

    pod: Pod
    reason: str
    message: str


class Conditions:
    """A Part: `run` writes what `say` was told. What waits is bounded by the number of pods."""

    name = "pod conditions"

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._waiting: dict[str, Said] = {}
        self._some = asyncio.Event()

    @property
    def idle(self) -> bool:
        return not self._waiting

    def say(self, pod: Pod, reason: str, message: str) -> None:
        """`pod` as the cache has it."""
        known = _condition(pod)
        if known is not None and (known.status, known.reason, known.message) == ("False", reason, message):
            self.drop(pod.metadata.uid)
            return
        self._waiting[pod.metadata.uid] = Said(pod, reason, message)
        self._some.set()

    def drop(self, uid: str) -> None:
        """What was to be said is out of date: the pod has a node, or is gone."""
        self._waiting.pop(uid, None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._write_on(), name="condition writer")

    async def _write_on(self) -> None:
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            uid = next(iter(self._waiting))
            said = self._waiting.pop(uid)
            try:
                await self._write(said)
            except Fenced:
                raise
            except (Conflict, NotFound):
                continue  # it changed or went: nothing to say of it as it was
            except ApiError as error:
                log.warning(
                    "a pod's condition was not written", extra={"pod": said.pod.metadata.name, "error": error.message}
                )
            except Exception:
                log.exception("a pod's condition cannot be written", extra={"pod": said.pod.metadata.name})

    async def _write(self, said: Said) -> None:
        pod, known = said.pod, _condition(said.pod)
        since = known.last_transition_time if known is not None and known.status == "False" else None
        condition = PodCondition(
            type=POD_SCHEDULED,
            status="False",
            reason=said.reason,
            message=said.message,
            last_transition_time=since or self._clock.now_text(),
        )
        others = [each for each in pod.status.conditions if each.type != POD_SCHEDULED]
        meta = pod.metadata
        patch = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "status": {"conditions": [*others, condition]},
        }
        await self._client.patch(Pod, meta.name, patch, namespace=meta.namespace, subresource="status")


def _condition(pod: Pod) -> PodCondition | None:
    return next((each for each in pod.status.conditions if each.type == POD_SCHEDULED), None)
