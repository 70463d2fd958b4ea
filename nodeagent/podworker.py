"""One pod on this node, brought step by step to where it should be.

Level-based: whoever has news says `wake`, and a step looks at the pod and at the runtime as they are now, does what is
next, and says how the pod is. A worker runs only while there is something to do; in between it is an object and
perhaps a timer. What must hold:
- Steps of one pod never overlap, so that no container is started twice.
- A pod that must go interrupts whatever its worker is waiting for, a long pull as well as a long grace period.
- Nothing here waits for the API.
- An object is deleted from the API only when nothing of the pod runs, and what it left in the runtime is removed
  only when the object is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from contextlib import suppress

from apiserver.api.core.pod import Pod
from apiserver.api.times import parse_time

from .clock import age_s, timestamp
from .decide import Decision, Kill, decide, is_sidecar
from .house import NORMAL, WARNING, House, NotYet
from .observed import NOTHING, Observed, observed, recalled
from .phase import FINISHED, PENDING
from .runtime.interface import Container, PodKey, RuntimeFailure
from .starting import GRACE_PERIOD_S, Starter
from .status import Ending, Facts, pod_status, rejected_status

log = logging.getLogger(__name__)

GRACE_PERIOD_MIN_S = 2.0  # the kubelet's: less would kill what ends by itself in a moment
RETRY_S = 10.0  # after a failure of the runtime
AGAIN_S = 1.0  # when something runs that was to be stopped
DEADLINE = Ending("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


class PodWorker:
    """`pod` is None for one that the runtime knows and the API does not. `unknown`: the runtime has nothing of it, for
    nobody has begun with it. `close` ends it, not the pod."""

    def __init__(self, house: House, key: PodKey, pod: Pod | None, *, unknown: bool = False) -> None:
        self.key = key
        self.pod = pod
        self.rejected: Ending | None = None
        self.signature: object = None  # of what the runtime said last
        self._house = house
        self._gone = pod is None
        self._unknown = unknown
        self._ending: Ending | None = None
        self._has_ended = False  # was said: no later step takes that back, though the API may not show it yet
        self._ended_by_others = False  # so the API said while it ran: how its containers ended is still to be said
        self._judge = house.parts.health.verdict
        self._starter = Starter(house, key)
        self._dirty = False
        self._interrupted = False
        self._stepping = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopping_since: float | None = None
        self._seen = NOTHING  # when it looked last
        self._start_time = ""

    # --- news ---------------------------------------------------------------------------------------------

    def update(self, pod: Pod, *, echo: bool = False) -> None:
        """The API shows the pod like this; `echo`: because of what we wrote, so that there is nothing to do."""
        before = (self.leaving, self._grace_s())
        self.pod = pod
        after = (self.leaving, self._grace_s())
        if self.leaving and before != after:
            self._interrupt()
        if not echo:
            self.wake()

    def object_gone(self, last: Pod) -> None:
        """The API does not have it any more."""
        self.pod = last
        self._gone = True
        self._interrupt()
        self.wake()

    def reject(self, ending: Ending) -> None:
        """The node does not take it. Only before the first step."""
        self.rejected = ending
        self.wake()

    def wake(self) -> None:
        self._dirty = True
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run(), name=f"pod {self.key.namespace}/{self.key.name}")

    def health_changed(self) -> None:
        """A verdict may have changed. A step may take long, and who is ready meanwhile, or is not, is said at once."""
        pod, looked = self.pod, self.signature is not None
        if self._stepping and looked and pod is not None and pod.status.phase not in FINISHED:
            self._publish(pod, self._seen)
        self.wake()

    @property
    def leaving(self) -> bool:
        """It must not run here, now or any more."""
        pod = self.pod
        if self._gone or pod is None or self._ending is not None or self.rejected is not None:
            return True
        return pod.metadata.deletion_timestamp is not None or pod.status.phase in FINISHED

    @property
    def uses_resources(self) -> bool:
        """Whether it counts when another one comes. Who is gone from the API does not, as there: a pod that was bound
        in its place must not be refused because the old one takes its time to end."""
        if self._gone or self.pod is None or self.rejected is not None:
            return False
        return self.pod.status.phase not in FINISHED

    async def close(self) -> None:
        self._closed = True
        self._forget_timer()
        task = self._task
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # --- the loop -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self._dirty:
                self._dirty = self._interrupted = False
                self._forget_timer()
                await self._try_step()
        finally:
            self._task = None

    async def _try_step(self) -> None:
        try:
            self._stepping = True
            await self._step()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._interrupted or task is None or task.uncancel() > 0:
                raise
            self._dirty = True
        except NotYet as error:
            log.info("a pod waits", extra=self._fields() | {"reason": error.reason, "error": error.message})
            if self.pod is not None:
                self._house.parts.events.event(self.pod, WARNING, error.event, error.message)
            self.look_again_in(error.again_s)
        except RuntimeFailure as error:
            log.warning("a pod waits for the runtime", extra=self._fields() | {"error": error.message})
            if self.pod is not None and self.leaving:
                words = f"error killing pod: {error.message}"
                self._house.parts.events.event(self.pod, WARNING, "FailedKillPod", words)
            self.look_again_in(RETRY_S * (1 + self._house.random.random() / 2))
        except Exception:
            log.exception("a step of a pod failed", extra=self._fields())
            self.look_again_in(RETRY_S)
        finally:
            self._stepping = False

    def _interrupt(self) -> None:
        """Whatever the step waits for. A task that has not begun yet will see the news by itself."""
        if self._task is not None and self._stepping and not self._interrupted:
            self._interrupted = True
            self._task.cancel()

    def look_again_in(self, delay_s: float) -> None:
        """At the latest; a wake may come before."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + delay_s:
                return
            self._timer.cancel()
        self._timer = loop.call_later(delay_s, self.wake)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fields(self) -> dict[str, str]:
        return {"namespace": self.key.namespace, "pod": self.key.name, "uid": self.key.uid}

    # --- a step -------------------------------------------------------------------------------------------

    async def _step(self) -> None:
        pod = self.pod
        if pod is not None and self.rejected is not None and not self._gone:
            self._publish_rejection(pod, self.rejected)
            return
        seen = self._saw(NOTHING) if self._unknown else await self._look()
        self._unknown = False
        if pod is not None and not self.leaving:
            self._ending = DEADLINE if self._deadline_over(pod) else self._house.parts.volumes.look(pod)
            self._tell_ending(pod)
        if pod is None or self.leaving:
            await self._leave(seen)
        else:
            await self._advance(pod, seen)

    def _tell_ending(self, pod: Pod) -> None:
        ending = self._ending
        if ending is not None:
            type_ = NORMAL if ending is DEADLINE else WARNING
            self._house.parts.events.event(pod, type_, ending.reason, ending.message)

    async def _look(self) -> Observed:
        runtime, uid = self._house.runtime, self.key.uid
        seen = observed(await runtime.list_sandboxes(pod_uid=uid), await runtime.list_containers(pod_uid=uid))
        return self._saw(seen)

    async def _look_at_new(self, sandbox_id: str, before: Observed) -> Observed:
        """At a sandbox that was just made: of a pod that had nothing, it is all there is."""
        if before.sandboxes or before.containers:
            return await self._look()
        return self._saw(observed([await self._house.runtime.sandbox(sandbox_id)], ()))

    async def _look_at_containers(self, before: Observed) -> Observed:
        """Its sandbox is as it was: its end would be told."""
        return self._saw(observed(before.sandboxes, await self._house.runtime.list_containers(pod_uid=self.key.uid)))

    def _saw(self, seen: Observed) -> Observed:
        self.signature = signature(seen)
        if self.pod is not None:
            seen = recalled(self.pod, seen)
        self._starter.note(seen)
        self._seen = seen
        if self.pod is not None and not self._gone:
            self._house.parts.health.look(self.pod, seen, self._house.address(self.pod, seen.sandbox))
        return seen

    async def _advance(self, pod: Pod, seen: Observed) -> None:
        self._publish(pod, seen)
        decision = decide(pod, seen, self._judge)
        if decision.sandbox:
            seen = await self._look_at_new(await self._starter.make_sandbox(pod, seen), seen)
            decision = decide(pod, seen, self._judge)
        if decision.finished:
            await self._end_all(pod, seen, self._grace_s())
            self._publish(pod, await self._look(), ended=True)
            return
        if decision.kill:
            for each in decision.kill:
                self._tell_killing(each.container, each.message)
            await _all(self._stop_one(each.container, self._kill_grace_s(each), seen) for each in decision.kill)
            self._dirty = True
        if decision.look_again_s is not None:
            self.look_again_in(decision.look_again_s)
        waiting = set()
        for spec in decision.start:
            again_s = await self._starter.start(pod, spec, seen)
            if again_s is not None:
                waiting.add(spec.name)
                self.look_again_in(again_s)
            elif spec is not decision.start[-1]:  # the next one may take long
                seen = await self._look_at_containers(seen)
                self._publish(pod, seen)
        if decision.sandbox or decision.start:
            seen = await self._look_at_containers(seen)
            self._publish(pod, seen)
            self._go_on(decide(pod, seen, self._judge), waiting)

    def _go_on(self, decision: Decision, waiting: set[str]) -> None:
        """What started may have ended already. Its event may have come before this look, or be lost: who has seen that
        there is something to do does not wait to be told."""
        if decision.finished or decision.sandbox or any(each.name not in waiting for each in decision.start):
            self._dirty = True

    async def _leave(self, seen: Observed) -> None:
        """Stop what runs, say so, and then let go of the object, or of what it left."""
        pod = self.pod
        if pod is not None and seen.alive and not self._gone:
            self._ended_by_others = self._ended_by_others or pod.status.phase in FINISHED
            self._publish(pod, seen)
        await self._end_all(pod, seen, self._grace_s(seen))
        seen = await self._look()
        if any(each.running for each in seen.alive):  # its start was under way when it was stopped
            self.look_again_in(AGAIN_S)
        elif pod is None or self._gone:
            await self._remove(seen)
        elif pod.status.phase in FINISHED and not self._ended_by_others:
            self._house.writer.set(pod, pod.status, delete=pod.metadata.deletion_timestamp is not None)
        else:
            self._publish(pod, seen, ended=True, delete=pod.metadata.deletion_timestamp is not None)

    async def _remove(self, seen: Observed) -> None:
        for sandbox in seen.sandboxes:
            await self._house.runtime.remove_sandbox(sandbox.id)
        await self._house.parts.volumes.release(self.key)
        self._house.parts.health.forget(self.key.uid)
        self._house.writer.forget(self.key.uid)
        self._house.gone(self.key.uid)

    # --- stopping -----------------------------------------------------------------------------------------

    def _grace_s(self, seen: Observed | None = None) -> float:
        """What containers get to end by themselves, beginning with the first time they were asked."""
        pod = self.pod
        if pod is None:
            sandbox = next(iter(seen.sandboxes), None) if seen is not None else None
            return sandbox.grace_period_s if sandbox else GRACE_PERIOD_S
        seconds = pod.spec.termination_grace_period_seconds
        if pod.metadata.deletion_timestamp is not None and pod.metadata.deletion_grace_period_seconds is not None:
            seconds = pod.metadata.deletion_grace_period_seconds
        return max(GRACE_PERIOD_MIN_S, GRACE_PERIOD_S if seconds is None else float(seconds))

    async def _end_all(self, pod: Pod | None, seen: Observed, grace_s: float) -> None:
        """Containers first, then sidecars in the reverse of their order, then the sandboxes."""
        loop = asyncio.get_running_loop()
        self._house.parts.health.ending(self.key.uid)
        if self._stopping_since is None:
            self._stopping_since = loop.time()
            for each in seen.alive:
                self._tell_killing(each, f"Stopping container {each.name}")
        sidecars = [each.name for each in pod.spec.init_containers if is_sidecar(each)] if pod is not None else []
        alive = seen.alive
        groups = [[each for each in alive if each.name not in sidecars]]
        groups += [[each for each in alive if each.name == name] for name in reversed(sidecars)]
        for group in groups:
            left_s = max(GRACE_PERIOD_MIN_S, self._stopping_since + grace_s - loop.time())
            await _all(self._stop_one(each, left_s, seen) for each in group)
        for sandbox in seen.sandboxes:
            if sandbox.ready:
                await self._house.runtime.stop_sandbox(sandbox.id)
        await self._house.parts.volumes.release(self.key)

    def _kill_grace_s(self, kill: Kill) -> float:
        return self._grace_s() if kill.grace_period_s is None else max(GRACE_PERIOD_MIN_S, kill.grace_period_s)

    async def _stop_one(self, container: Container, grace_s: float, seen: Observed) -> None:
        """Its hook and its signal share the grace period."""
        signal = ""
        if self.pod is not None and container.running:
            hooks, address = self._house.parts.hooks, self._house.address(self.pod, seen.sandbox)
            grace_s = await hooks.stopping(self.pod, container, address, grace_period_s=grace_s)
            signal = stop_signal(self.pod, container.name)
        grace_s = max(GRACE_PERIOD_MIN_S, grace_s)
        await self._house.runtime.stop_container(container.id, grace_period_s=grace_s, signal=signal)

    def _tell_killing(self, container: Container, words: str) -> None:
        if self.pod is not None:
            self._house.parts.events.event(self.pod, NORMAL, "Killing", words, container=container.name)

    # --- what is said -------------------------------------------------------------------------------------

    def _publish(self, pod: Pod, seen: Observed, *, ended: bool = False, delete: bool = False) -> None:
        if self._gone:
            return
        self._has_ended = self._has_ended or ended
        facts = Facts(
            seen=seen,
            judge=self._judge,
            waiting=self._starter.waiting,
            host_ips=self._house.host_ips,
            start_time=self._started_at(pod),
            runtime=self._house.runtime_name,
            ended=self._has_ended,
            ending=self._ending,
        )
        status = pod_status(pod, facts)
        coming = status.phase == PENDING and not seen.containers and not self._starter.waiting and not delete
        self._house.writer.set(pod, status, delete=delete, patient=coming)

    def _publish_rejection(self, pod: Pod, ending: Ending) -> None:
        deleted = pod.metadata.deletion_timestamp is not None
        self._house.writer.set(pod, rejected_status(ending, self._started_at(pod)), delete=deleted)

    def _started_at(self, pod: Pod) -> str:
        self._start_time = self._start_time or pod.status.start_time or timestamp(self._house.wall())
        return self._start_time

    def _deadline_over(self, pod: Pod) -> bool:
        """`activeDeadlineSeconds`, counted from the start time that the API shows."""
        limit = pod.spec.active_deadline_seconds
        if limit is None:
            return False
        left = limit - age_s(self._started_at(pod), self._house.wall)
        if left > 0:
            self.look_again_in(left)
        return left <= 0


def stop_signal(pod: Pod, name: str) -> str:
    """By which a container is asked to end; "" for its image's."""
    for spec in (*pod.spec.containers, *pod.spec.init_containers):
        if spec.name == name and spec.lifecycle is not None:
            return spec.lifecycle.stop_signal or ""
    return ""


def signature(seen: Observed) -> object:
    """Equal as long as nothing happened."""
    sandboxes = frozenset((each.id, each.ready) for each in seen.sandboxes)
    return sandboxes, frozenset((each.id, each.phase) for found in seen.containers.values() for each in found)


async def _all(calls: Iterable[Awaitable[None]]) -> None:
    """All at once; the first failure after all have ended."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def created_at(pod: Pod) -> tuple[float, str]:
    """The order in which pods came: older ones first, then by name."""
    try:
        moment = parse_time(pod.metadata.creation_timestamp or "").timestamp()
    except ValueError:
        moment = 0.0
    return moment, f"{pod.metadata.namespace}/{pod.metadata.name}"
