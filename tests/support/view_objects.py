"""Objects for the tests of tables: pods in every state people meet, and one of every other kind."""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.core.pod import Pod

NOW_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z
CREATED = "2025-12-31T23:50:00Z"
ENDED = "2025-12-31T23:55:00Z"


def metadata(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "default", "creationTimestamp": CREATED, "resourceVersion": "7", **fields}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


def terminated(code: int = 0, reason: str = "", signal: int = 0, at: str = ENDED) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "signal": signal, "finishedAt": at}}


RUNNING: dict[str, Any] = {"running": {"startedAt": CREATED}}


def container(name: str, state: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    """The status of one container."""
    shown = {"name": name, "ready": state is RUNNING, "restartCount": 0, "image": "i", "imageID": "", **fields}
    return shown if state is None else {**shown, "state": state}


def pod(
    *statuses: dict[str, Any],
    init: tuple[dict[str, Any], ...] = (),
    sidecars: tuple[str, ...] = (),
    spec: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    **status: Any,
) -> Pod:
    """A pod whose spec has the containers its status tells of; one container `c` when it tells of none."""
    names = [each["name"] for each in statuses] or ["c"]
    init_names = [each["name"] for each in init]
    return msgspec.convert(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata(**(meta or {})),
            "spec": {
                "containers": [{"name": name, "image": "i"} for name in names],
                "initContainers": [
                    {"name": name, "image": "i", **({"restartPolicy": "Always"} if name in sidecars else {})}
                    for name in init_names
                ],
                **(spec or {}),
            },
            "status": {"containerStatuses": list(statuses), "initContainerStatuses": list(init), **status},
        },
        Pod,
    )


def condition(type_: str, status: str = "True", reason: str = "") -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason}


READY = [condition("Initialized"), condition("Ready")]
DELETED = {"deletionTimestamp": ENDED}
RESTARTED = {"restartCount": 3, "lastState": terminated(1, "Error")}


def pods() -> dict[str, Pod]:
    """By what makes each special."""
    return {**_plain(), **_with_init_containers(), **_special()}


def _plain() -> dict[str, Pod]:
    crash = container("c", waiting("CrashLoopBackOff"), **RESTARTED)
    done = terminated(0, "Completed")
    return {
        "just created": pod(phase="Pending"),
        "gated": pod(phase="Pending", conditions=[condition("PodScheduled", "False", "SchedulingGated")]),
        "creating": pod(container("c", waiting("ContainerCreating")), phase="Pending", spec={"nodeName": "n1"}),
        "no image": pod(container("c", waiting("ImagePullBackOff")), phase="Pending"),
        "running": pod(
            container("c", RUNNING),
            phase="Running",
            podIP="10.244.0.5",
            podIPs=[{"ip": "10.244.0.5"}, {"ip": "fd00::5"}],
            spec={"nodeName": "n1"},
        ),
        "running, not ready": pod(container("c", RUNNING, ready=False), phase="Running"),
        "one of two": pod(container("c", RUNNING), container("d", waiting("ContainerCreating")), phase="Running"),
        "restarted": pod(container("c", RUNNING, **RESTARTED), phase="Running"),
        "restarted, time unknown": pod(container("c", RUNNING, restartCount=2), phase="Running"),
        "crashing": pod(crash, phase="Running"),
        "ended by error": pod(container("c", terminated(1, "Error")), phase="Failed"),
        "exit code": pod(container("c", terminated(137)), phase="Failed"),
        "signal": pod(container("c", terminated(0, signal=9)), phase="Failed"),
        "completed": pod(container("c", done), phase="Succeeded"),
        "completed beside a running one": pod(
            container("c", done), container("d", RUNNING), phase="Running", conditions=READY
        ),
        "completed beside one, not ready": pod(container("c", done), container("d", RUNNING), phase="Running"),
        "evicted": pod(phase="Failed", reason="Evicted"),
    }


def _with_init_containers() -> dict[str, Pod]:
    done = terminated(0, "Completed")
    return {
        "init 0 of 2": pod(
            container("c", waiting("PodInitializing")),
            init=(container("i", RUNNING), container("j", waiting("PodInitializing"))),
            phase="Pending",
        ),
        "init 1 of 2": pod(
            container("c", waiting("PodInitializing")),
            init=(container("i", done), container("j", RUNNING)),
            phase="Pending",
        ),
        "init crashing": pod(
            container("c", waiting("PodInitializing")),
            init=(container("i", waiting("CrashLoopBackOff"), **RESTARTED),),
            phase="Pending",
        ),
        "init ended by error": pod(init=(container("i", terminated(1, "Error")),), phase="Pending"),
        "init exit code": pod(init=(container("i", terminated(2)),), phase="Pending"),
        "init signal": pod(init=(container("i", terminated(1, signal=15)),), phase="Pending"),
        "init again after restart": pod(
            container("c", RUNNING, **RESTARTED),
            init=(container("i", waiting("PodInitializing"), restartCount=5),),
            phase="Running",
            conditions=READY,
        ),
        "sidecar": pod(
            container("c", RUNNING),
            init=(container("s", RUNNING, started=True),),
            sidecars=("s",),
            phase="Running",
        ),
        "sidecar restarted": pod(
            container("c", RUNNING),
            init=(container("s", RUNNING, started=True, **RESTARTED),),
            sidecars=("s",),
            phase="Running",
        ),
        "sidecar starting": pod(
            container("c", waiting("PodInitializing")),
            init=(container("s", RUNNING, started=False, ready=False),),
            sidecars=("s",),
            phase="Pending",
        ),
    }


def _special() -> dict[str, Pod]:
    done = terminated(0, "Completed")
    return {
        "terminating": pod(container("c", RUNNING), phase="Running", meta=DELETED),
        "terminating, ended": pod(container("c", done), phase="Succeeded", meta=DELETED),
        "node lost": pod(container("c", RUNNING), phase="Running", reason="NodeLost", meta=DELETED),
        "nominated": pod(phase="Pending", nominatedNodeName="n2"),
        "readiness gates": pod(
            container("c", RUNNING),
            phase="Running",
            spec={"readinessGates": [{"conditionType": "x/a"}, {"conditionType": "x/b"}]},
            conditions=[condition("x/a"), condition("x/b", "False")],
        ),
    }
