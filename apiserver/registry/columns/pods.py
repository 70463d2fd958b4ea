"""Columns of pods: a pod's state in one word, worked out from those of its containers as kubectl users know it."""

from __future__ import annotations

from typing import Any, NamedTuple

from apiserver.registry.resource import Column

from .cells import AGE, NAME, NONE, is_true, seconds_of, since

#: A pod that has ended keeps the word it ended with, even while it is being deleted.
ENDED = ("Succeeded", "Failed")
#: Set by whoever evicts pods from a node that is gone: nobody knows what they do.
NODE_LOST = "NodeLost"


class Summary(NamedTuple):
    ready: int
    total: int
    state: str
    restarts: int
    last_restart: str | None  # RFC 3339


class _Tally:
    """Restarts of some containers, and the latest of them."""

    def __init__(self) -> None:
        self.restarts = 0
        self.last: str | None = None
        self._last_s = 0.0

    def add(self, status: Any) -> None:
        self.restarts += status.restart_count
        ended = status.last_state.terminated if status.last_state else None
        moment = seconds_of(ended.finished_at) if ended else None
        if ended and moment is not None and moment > self._last_s:
            self.last, self._last_s = ended.finished_at, moment


def _ending(terminated: Any) -> str:
    """Why a container ended: its reason, else the signal, else the exit code."""
    if terminated.reason:
        return str(terminated.reason)
    if terminated.signal:
        return f"Signal:{terminated.signal}"
    return f"ExitCode:{terminated.exit_code}"


def _is_sidecar(container: Any) -> bool:
    return bool(container is not None and container.restart_policy == "Always")


class _Reader:
    """Goes once over a pod; init containers first, as they run."""

    def __init__(self, pod: Any) -> None:
        self.pod = pod
        self.sidecars = {each.name for each in pod.spec.init_containers if _is_sidecar(each)}
        self.ready = 0
        self.state = self._first_word()
        self.initial, self.running = _Tally(), _Tally()
        self.initializing = False

    def _first_word(self) -> str:
        status = self.pod.status
        for each in status.conditions:
            if each.type == "PodScheduled" and each.reason == "SchedulingGated":
                return "SchedulingGated"
        return str(status.reason or status.phase)

    def read(self) -> Summary:
        status = self.pod.status
        self._read_init_containers()
        tally = self.initial
        if not self.initializing or is_true(status.conditions, "Initialized"):
            self._read_containers()
            tally = self.running
        total = len(self.pod.spec.containers) + len(self.sidecars)
        return Summary(self.ready, total, self._last_word(), tally.restarts, tally.last)

    def _read_init_containers(self) -> None:
        for index, status in enumerate(self.pod.status.init_container_statuses):
            self.initial.add(status)
            sidecar = status.name in self.sidecars
            if sidecar:
                self.running.add(status)
            if self._is_past(status, sidecar=sidecar):
                continue
            self.state = f"Init:{self._waits_for(status, index)}"
            self.initializing = True
            return

    def _is_past(self, status: Any, *, sidecar: bool) -> bool:
        """It ended well, or it is a sidecar that has started; the next one's turn."""
        ended = status.state.terminated if status.state else None
        if ended is not None and ended.exit_code == 0:
            return True
        if sidecar and status.started:
            self.ready += bool(status.ready)
            return True
        return False

    def _waits_for(self, status: Any, index: int) -> str:
        state = status.state
        if state and state.terminated is not None:
            return _ending(state.terminated)
        if state and state.waiting is not None and state.waiting.reason not in ("", "PodInitializing"):
            return str(state.waiting.reason)
        return f"{index}/{len(self.pod.spec.init_containers)}"

    def _read_containers(self) -> None:
        """Backwards, so that the first container has the last word."""
        some_run = False
        for status in reversed(self.pod.status.container_statuses):
            self.running.add(status)
            state = status.state
            if state is None:
                continue
            if state.waiting is not None and state.waiting.reason:
                self.state = state.waiting.reason
            elif state.terminated is not None:
                self.state = _ending(state.terminated)
            elif status.ready and state.running is not None:
                some_run = True
                self.ready += 1
        if self.state == "Completed" and some_run:
            self.state = "Running" if is_true(self.pod.status.conditions, "Ready") else "NotReady"

    def _last_word(self) -> str:
        if self.pod.metadata.deletion_timestamp:
            if self.pod.status.reason == NODE_LOST:
                return "Unknown"
            if self.pod.status.phase not in ENDED:
                return "Terminating"
        return self.state


def summarize(pod: Any) -> Summary:
    """What `kubectl get pods` says of a pod."""
    return _Reader(pod).read()


def _ready(pod: Any, now_s: float) -> str:
    summary = summarize(pod)
    return f"{summary.ready}/{summary.total}"


def _status(pod: Any, now_s: float) -> str:
    return summarize(pod).state


def _restarts(pod: Any, now_s: float) -> str:
    summary = summarize(pod)
    if summary.restarts and summary.last_restart:
        return f"{summary.restarts} ({since(summary.last_restart, now_s)} ago)"
    return str(summary.restarts)


def _ip(pod: Any, now_s: float) -> str:
    addresses = pod.status.pod_ips
    return (addresses[0].ip if addresses else pod.status.pod_ip) or NONE


def _node(pod: Any, now_s: float) -> str:
    return pod.spec.node_name or NONE


def _nominated_node(pod: Any, now_s: float) -> str:
    return pod.status.nominated_node_name or NONE


def _readiness_gates(pod: Any, now_s: float) -> str:
    gates = pod.spec.readiness_gates
    if not gates:
        return NONE
    open_ = sum(is_true(pod.status.conditions, each.condition_type) for each in gates)
    return f"{open_}/{len(gates)}"


POD = (
    NAME,
    Column("Ready", _ready, "Containers that are ready, of all that should be."),
    Column("Status", _status, "State of the pod, worked out from the states of its containers."),
    Column("Restarts", _restarts, "How often its containers were restarted, and when the last time."),
    AGE,
    Column("IP", _ip, "Address of the pod.", priority=1),
    Column("Node", _node, "Node the pod is bound to.", priority=1),
    Column("Nominated Node", _nominated_node, "Node where others are evicted to make room for it.", priority=1),
    Column("Readiness Gates", _readiness_gates, "Readiness gates that are open, of all.", priority=1),
)


def ended(pod: Any) -> tuple[str, str] | None:
    """Reason and message of the Completed condition of a pod's row; None while it may still run."""
    if pod.status.phase == "Succeeded":
        return "Succeeded", "The pod has ended well."
    if pod.status.phase == "Failed":
        return "Failed", "The pod has failed."
    return None
