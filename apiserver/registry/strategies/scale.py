"""The scale subresource of kinds that have `spec.replicas`: Deployment and ReplicaSet."""

from __future__ import annotations

from typing import TypeVar

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.autoscaling import Scale, ScaleSpec, ScaleStatus
from apiserver.api.fields import Causes
from apiserver.api.meta import ObjectMeta
from apiserver.api.selectors import from_label_selector
from apiserver.registry.strategy import Strategy

from .pod_validation.texts import not_negative

Scaled = TypeVar("Scaled", Deployment, ReplicaSet)


class ScaleStrategy(Strategy[Scale]):
    def validate(self, obj: Scale, causes: Causes) -> None:
        not_negative(causes, "spec.replicas", obj.spec.replicas)


SCALE = ScaleStrategy()


def scale_of(obj: Deployment | ReplicaSet) -> Scale:
    """What the subresource shows of an object."""
    meta = obj.metadata
    return Scale(
        api_version="autoscaling/v1",
        kind="Scale",
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            resource_version=meta.resource_version,
            creation_timestamp=meta.creation_timestamp,
        ),
        spec=ScaleSpec(replicas=obj.spec.replicas or 0),
        status=ScaleStatus(replicas=obj.status.replicas, selector=str(from_label_selector(obj.spec.selector))),
    )


def apply_scale(obj: Scaled, scale: Scale) -> Scaled:
    """Sets the object's wish for replicas, and returns it. Raises Invalid for a Scale that breaks rules."""
    causes = Causes()
    SCALE.validate(scale, causes)
    if causes:
        raise causes.error(kind="Scale", group="autoscaling", name=obj.metadata.name)
    obj.spec.replicas = scale.spec.replicas
    return obj
