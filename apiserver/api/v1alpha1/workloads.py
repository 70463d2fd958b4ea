"""v1alpha1: Deployment and ReplicaSet, which keep a number of like pods running."""

from __future__ import annotations

import msgspec

from apiserver.api.base import Int32, Object, always
from apiserver.api.meta import LabelSelector, TopObject

from .pods import PodTemplateSpec


class DeploymentSpec(Object):
    """What should run, and how often.

    replicas: How many pods; 1 when left out.
    selector: Labels that the pods have; must match those of the template and cannot be changed.
    template: What the pods are made from; a change replaces them step by step.
    """

    replicas: Int32 | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)


class DeploymentStatus(Object):
    """How far a Deployment is.

    replicas: Pods there are.
    updated_replicas: Pods made from the present template.
    ready_replicas: Pods that are ready.
    available_replicas: Pods that have been ready for long enough.
    """

    replicas: Int32 = 0
    updated_replicas: Int32 = 0
    ready_replicas: Int32 = 0
    available_replicas: Int32 = 0


class Deployment(TopObject):
    """Keeps a number of like pods running and replaces them when their template changes.

    spec: What should run, and how often.
    status: How far it is.
    """

    spec: DeploymentSpec = msgspec.field(default_factory=DeploymentSpec)
    status: DeploymentStatus = msgspec.field(default_factory=DeploymentStatus)


class ReplicaSetSpec(Object):
    """What should run, and how often.

    replicas: How many pods; 1 when left out.
    selector: Labels that the pods have; must match those of the template and cannot be changed.
    template: What new pods are made from.
    """

    replicas: Int32 | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)


class ReplicaSetStatus(Object):
    """How far a ReplicaSet is.

    replicas: Pods there are.
    ready_replicas: Pods that are ready.
    available_replicas: Pods that have been ready for long enough.
    """

    replicas: Int32 = always(0)
    ready_replicas: Int32 = 0
    available_replicas: Int32 = 0


class ReplicaSet(TopObject):
    """Keeps a number of like pods running.

    spec: What should run, and how often.
    status: How far it is.
    """

    spec: ReplicaSetSpec = msgspec.field(default_factory=ReplicaSetSpec)
    status: ReplicaSetStatus = msgspec.field(default_factory=ReplicaSetStatus)
