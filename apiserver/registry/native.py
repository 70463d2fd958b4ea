"""Rows of the native alpha version: the stored objects of v1 under `/api/v1alpha1`, shown and written in small.

Strategy, storage and printing are those of the stored row. No row has short names or categories: `kubectl get all`
and `kubectl get po` mean v1.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from apiserver.api.forms import Step
from apiserver.api.meta import TopObject
from apiserver.api.v1alpha1 import nodes, pods, services, volumes, workloads
from apiserver.api.v1alpha1.conversion import STEPS

from .columns import COLUMNS
from .resource import Resource, Subresource

VERSION = "v1alpha1"


class NativeConversion:
    """The steps of a kind with the rules of a write: a create brings no status, and no object shares with another."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def to_stored(self, obj: Any, old: Any | None) -> Any:
        """The object to store. With `old` its status is converted too; whether it counts is the caller's to say."""
        if old is None:
            return self.step.up(msgspec.structs.replace(obj, status=type(obj.status)()), None)
        return self.step.up(obj, copy.deepcopy(old))

    def from_stored(self, stored: Any) -> Any:
        """The object to show; it shares parts with `stored`."""
        return self.step.down(stored)


def _row(
    type_: type[TopObject], stored_as: str, description: str, *, namespaced: bool = True, scale: bool = False
) -> Resource:
    kind = type_.__name__
    status = Subresource("status", kind, ("get", "patch", "update"), version=VERSION)
    scaling = Subresource("scale", "Scale", ("get", "patch", "update"), group="autoscaling", version="v1")
    return Resource(
        plural=stored_as.rpartition("/")[2],
        kind=kind,
        type=type_,
        version=VERSION,
        namespaced=namespaced,
        columns=COLUMNS[stored_as],
        # A Service has nothing to write there: its address is set by the server when it is created.
        subresources=() if kind == "Service" else (status, scaling) if scale else (status,),
        stored_as=stored_as,
        conversion=NativeConversion(STEPS[kind]),
        description=description,
    )


ROWS: tuple[Resource, ...] = (
    _row(pods.Pod, "pods", "Containers that run together on one node."),
    _row(services.Service, "services", "One lasting address for pods that come and go."),
    _row(volumes.PersistentVolumeClaim, "persistentvolumeclaims", "The wish for a place for data."),
    _row(workloads.Deployment, "apps/deployments", "Keeps like pods running and replaces them on change.", scale=True),
    _row(workloads.ReplicaSet, "apps/replicasets", "Keeps like pods running.", scale=True),
    _row(nodes.Node, "nodes", "A machine that pods run on.", namespaced=False),
    _row(volumes.PersistentVolume, "persistentvolumes", "A place for data that outlives pods.", namespaced=False),
)
