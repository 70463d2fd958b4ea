"""Deployments and ReplicaSets as a Deployment controller's decisions see them, in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controllers_world_objects import deployment, replica_set

from apiserver.api.apps import Deployment, ReplicaSet, ReplicaSetStatus
from controlplane.controllers.deployment.view import View

RECREATE = {"type": "Recreate"}
_ANNOTATIONS = {
    "desired": "deployment.kubernetes.io/desired-replicas",
    "max": "deployment.kubernetes.io/max-replicas",
    "revision": "deployment.kubernetes.io/revision",
    "history": "deployment.kubernetes.io/revision-history",
}


def rolling(surge: int | str = 0, unavailable: int | str = 0) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def wish(replicas: int, strategy: Mapping[str, Any] | None = None, **spec: Any) -> Deployment:
    found = deployment("web", replicas, strategy=strategy or rolling(1, 1), metadata={"uid": "d"}, **spec)
    found.spec.progress_deadline_seconds = spec.get("progressDeadlineSeconds", 600)
    found.metadata.generation = 1
    return found


def sized(
    name: str,
    size: int,
    available: int | None = None,
    *,
    pods: int | None = None,
    ready: int | None = None,
    observed: bool = True,
    age: int = 0,
    image: str = "app:1",
    **annotations: Any,
) -> ReplicaSet:
    """`available`: all of them when left out; so are `ready`, and `pods` for how many there are. `age`: older is more.

    `annotations`: desired and max of deployment.kubernetes.io, and revision.
    """
    names = {
        "desired": "desired-replicas",
        "max": "max-replicas",
        "revision": "revision",
        "history": "revision-history",
    }
    notes = {f"deployment.kubernetes.io/{names[key]}": value for key, value in annotations.items()}
    found = replica_set(name, size, image=image, labels={"app": "web"}, metadata={"uid": name, "annotations": notes})
    found.metadata.generation = 2
    found.metadata.creation_timestamp = f"2026-01-01T00:00:{59 - age:02}Z"
    up = size if available is None else available
    found.status = ReplicaSetStatus(
        replicas=size if pods is None else pods,
        ready_replicas=up if ready is None else ready,
        available_replicas=up,
        observed_generation=2 if observed else 1,
    )
    return found


def view(owner: Deployment, new: ReplicaSet | None, *old: ReplicaSet) -> View:
    return View(owner, new, old)
