"""Nodes of a world of controllers: a kubelet for all of them, and a simple scheduler for tests that bring none.

Both act on what the API holds at that moment, after a delay drawn from the seed, in one step and with no faults. What a
node does follows from the pod's present state alone, so that a node that was silent catches up when it speaks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Literal

from controllers_world_objects import lease
from fake_api import FakeApi
from virtual_time import now_s

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.kinds import kind_of
from apiserver.api.meta import DeleteOptions, Preconditions
from apiserver.api.times import now_micro_text, now_text
from apiserver.client import requests
from apiserver.client.requests import Patch, path_of

KUBELET = "kubelet"
SCHEDULER = "scheduler"
LEASE_S = 40
RENEW_S = 10.0
_RETRY_S = 3.0

#: How a pod goes: it becomes ready, runs without being ready, waits, or ends.
Outcome = Literal["ready", "running", "waiting", "succeeded", "failed"]
Place = tuple[str, str, str]  # namespace, name, uid

_POD = kind_of(Pod)
_PHASES = {"ready": "Running", "running": "Running", "succeeded": "Succeeded", "failed": "Failed"}


class Timers:
    """What is to be done at some moment, once per key."""

    def __init__(self) -> None:
        self._handles: dict[Any, asyncio.TimerHandle] = {}

    def after(self, delay_s: float, key: Any, action: Callable[[], None]) -> None:
        if key not in self._handles:
            loop = asyncio.get_running_loop()
            self._handles[key] = loop.call_later(delay_s, self._fire, key, action)

    def _fire(self, key: Any, action: Callable[[], None]) -> None:
        del self._handles[key]
        action()

    def cancel(self) -> None:
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()


class Kubelet:
    """Of every Node that the API holds. Change its fields at any time, then `look_again`.

    outcome: says of a pod how it goes.
    start_s, stop_s: ranges of seconds until a bound pod is where its outcome leads, and until a deleted one is gone.
    leases: whether nodes renew their Lease, every RENEW_S.
    """

    def __init__(self, api: FakeApi, random: Random, *, leases: bool = False) -> None:
        self.api = api
        self.outcome: Callable[[Pod], Outcome] = lambda pod: "ready"
        self.start_s = (0.2, 2.0)
        self.stop_s = (0.1, 1.5)
        self.leases = leases
        self.silent: set[str] = set()
        self._random = random
        self._nodes = {node.metadata.name for node in api.objects(Node)}
        self._timers = Timers()
        self._addresses = 0
        api.on_write.append(self._seen)

    # --- what a test says -----------------------------------------------------------------------------

    def silence(self, *nodes: str) -> None:
        """They are cut off: nothing that they do or know reaches the API. Their pods run on."""
        self.silent.update(nodes)

    def speak(self, *nodes: str) -> None:
        """They are back: their leases are renewed, they are Ready, and what was asked for meanwhile is done."""
        self.silent.difference_update(nodes)
        for name in nodes:
            if name in self._nodes:
                self._report(name)
        self.look_again()

    def look_again(self) -> None:
        for pod in self.api.objects(Pod):
            self._consider(pod)

    def begin(self) -> None:
        self.look_again()
        if self.leases:
            self._renew()

    def end(self) -> None:
        self._timers.cancel()

    # --- what it sees ---------------------------------------------------------------------------------

    def _seen(self, verb: str, old: Any, new: Any) -> None:
        if isinstance(new, Pod):
            self._consider(new)
        elif verb == "create" and isinstance(new, Node):
            self._nodes.add(new.metadata.name)
        elif verb == "delete" and isinstance(old, Node):
            self._nodes.discard(old.metadata.name)

    def _works(self, node: str) -> bool:
        return node in self._nodes and node not in self.silent

    def _consider(self, pod: Pod) -> None:
        if not self._works(pod.spec.node_name) or self._step(pod) is None:
            return
        meta = pod.metadata
        place = (meta.namespace, meta.name, meta.uid)
        ending = meta.deletion_timestamp is not None
        delay_s = self._random.uniform(*(self.stop_s if ending else self.start_s))
        self._timers.after(delay_s, (*place, ending), lambda: self._act(place))

    def _step(self, pod: Pod) -> str | None:
        """What is to be done with a pod now; None: nothing."""
        if pod.metadata.deletion_timestamp is not None:
            return "delete"
        if pod.status.phase in ("Succeeded", "Failed"):
            return None
        wanted = self.outcome(pod)
        if wanted == "waiting":
            return None
        ready = any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
        done = pod.status.phase == _PHASES[wanted] and ready == (wanted == "ready")
        return None if done else wanted

    def _act(self, place: Place) -> None:
        pod = self._pod(place)
        step = self._step(pod) if pod is not None and self._works(pod.spec.node_name) else None
        if pod is None or step is None:
            return
        if step == "delete":
            self._delete(pod)
        else:
            self._set_status(pod, step)

    def _pod(self, place: Place) -> Pod | None:
        namespace, name, uid = place
        pod = self.api.get(Pod, name, namespace)
        return pod if pod is not None and pod.metadata.uid == uid else None

    # --- what it does ---------------------------------------------------------------------------------

    def _delete(self, pod: Pod) -> None:
        options = DeleteOptions(grace_period_seconds=0, preconditions=Preconditions(uid=pod.metadata.uid))
        self.api.do(requests.delete(path_of(_POD, pod.metadata.namespace, pod.metadata.name), options), KUBELET)

    def _set_status(self, pod: Pod, step: str) -> None:
        now = now_text(now_s)
        states = {"Initialized": True, "PodScheduled": True, "Ready": step == "ready", "ContainersReady": False}
        states["ContainersReady"] = states["Ready"]
        since = {each.type: (each.status, each.last_transition_time) for each in pod.status.conditions}
        conditions = []
        for type_, state in states.items():
            status = "True" if state else "False"
            known, moment = since.get(type_, ("", None))
            changed = moment if known == status and moment else now
            conditions.append({"type": type_, "status": status, "lastTransitionTime": changed})
        address = pod.status.pod_ip or self._address()
        report = {
            "phase": _PHASES[step],
            "conditions": conditions,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": "192.0.2.1",
            "startTime": pod.status.start_time or now,
            "containerStatuses": [self._container(each, step, now) for each in pod.spec.containers],
        }
        path = path_of(_POD, pod.metadata.namespace, pod.metadata.name, "status")
        body = {"metadata": {"uid": pod.metadata.uid}, "status": report}
        self.api.do(requests.patch(path, body, Patch.MERGE), KUBELET)

    @staticmethod
    def _container(container: Any, step: str, now: str) -> dict[str, Any]:
        running: dict[str, Any] = {"running": {"startedAt": now}}
        ended = {"terminated": {"exitCode": int(step == "failed"), "finishedAt": now, "startedAt": now}}
        return {
            "name": container.name,
            "image": container.image,
            "imageID": "",
            "ready": step == "ready",
            "restartCount": 0,
            "state": ended if step in ("succeeded", "failed") else running,
        }

    def _address(self) -> str:
        self._addresses += 1
        return f"10.244.{self._addresses // 250}.{self._addresses % 250 + 1}"

    def _renew(self) -> None:
        for name in sorted(self._nodes - self.silent):
            self._renew_one(name)
        self._timers.after(RENEW_S, "leases", self._renew)

    def _renew_one(self, name: str) -> None:
        known = self.api.get(Lease, name, "kube-node-lease")
        wanted = lease(name, name, leaseDurationSeconds=LEASE_S, renewTime=now_micro_text(now_s))
        if known is not None:
            wanted.metadata = known.metadata
        with self.api.acting_as(KUBELET):
            self.api.put(wanted)

    def _report(self, name: str) -> None:
        if self.leases:
            self._renew_one(name)
        now = now_text(now_s)
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now}
        node = self.api.get(Node, name)
        known = next((each for each in node.status.conditions if each.type == "Ready"), None) if node else None
        changed = known.last_transition_time if known is not None and known.status == "True" else now
        condition["lastTransitionTime"] = changed or now
        path = path_of(kind_of(Node), None, name, "status")
        self.api.do(requests.patch(path, {"status": {"conditions": [condition]}}, Patch.STRATEGIC), KUBELET)


class Binder:
    """Gives pods without a node to any that is Ready, schedulable, not tainted, and has room. Nothing else counts."""

    def __init__(self, api: FakeApi, random: Random) -> None:
        self.api = api
        self.bind_s = (0.05, 0.5)
        self._random = random
        self._timers = Timers()
        api.on_write.append(self._seen)

    def begin(self) -> None:
        for pod in self.api.objects(Pod):
            self._seen("", None, pod)

    def end(self) -> None:
        self._timers.cancel()

    def _seen(self, verb: str, old: Any, new: Any) -> None:
        if isinstance(new, Pod) and self._waits(new):
            self._after(self._random.uniform(*self.bind_s), new)

    def _after(self, delay_s: float, pod: Pod) -> None:
        meta = pod.metadata
        place = (meta.namespace, meta.name, meta.uid)
        self._timers.after(delay_s, place, lambda: self._bind(place))

    @staticmethod
    def _waits(pod: Pod) -> bool:
        return not (pod.spec.node_name or pod.spec.scheduling_gates or pod.metadata.deletion_timestamp)

    def _bind(self, place: Place) -> None:
        namespace, name, uid = place
        pod = self.api.get(Pod, name, namespace)
        if pod is None or pod.metadata.uid != uid or not self._waits(pod):
            return
        nodes = [node.metadata.name for node in self.api.objects(Node) if _fit(node)]
        for node in self._random.sample(nodes, len(nodes)):
            body = {"metadata": {"name": name, "uid": uid}, "target": {"kind": "Node", "name": node}}
            answer = self.api.do(requests.create(path_of(_POD, namespace, name, "binding"), body), SCHEDULER)
            if answer.status < 400:
                return
        self._after(_RETRY_S, pod)


def _fit(node: Node) -> bool:
    ready = any(each.type == "Ready" and each.status == "True" for each in node.status.conditions)
    return ready and not node.spec.unschedulable and not node.spec.taints and not node.metadata.deletion_timestamp
