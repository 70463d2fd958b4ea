"""Columns of deployments, replica sets, pod templates and scales."""

from __future__ import annotations

from typing import Any

from apiserver.registry.resource import Column

from .cells import AGE, NAME, NONE, container_images, container_names, labels, selector


def _desired(obj: Any, now_s: float) -> int:
    return obj.spec.replicas or 0


def _containers(obj: Any, now_s: float) -> str:
    return container_names(obj.spec.template.spec.containers)


def _images(obj: Any, now_s: float) -> str:
    return container_images(obj.spec.template.spec.containers)


def _deployment_ready(obj: Any, now_s: float) -> str:
    return f"{obj.status.ready_replicas or 0}/{obj.spec.replicas or 0}"


def _selector(obj: Any, now_s: float) -> str:
    return selector(obj.spec.selector)


def _selector_or_none(obj: Any, now_s: float) -> str:
    return selector(obj.spec.selector) or NONE


CONTAINERS = Column("Containers", _containers, "Names of the containers of the template.", priority=1)
IMAGES = Column("Images", _images, "Images of the containers of the template.", priority=1)

DEPLOYMENT = (
    NAME,
    Column("Ready", _deployment_ready, "Pods that are ready, of those wanted."),
    Column("Up-to-date", lambda obj, _: obj.status.updated_replicas or 0, "Pods made from the newest template."),
    Column("Available", lambda obj, _: obj.status.available_replicas or 0, "Pods ready for long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    Column("Selector", _selector, "Labels of its pods.", priority=1),
)

REPLICA_SET = (
    NAME,
    Column("Desired", _desired, "Pods wanted.", type="integer"),
    Column("Current", lambda obj, _: obj.status.replicas or 0, "Pods there are.", type="integer"),
    Column("Ready", lambda obj, _: obj.status.ready_replicas or 0, "Pods that are ready.", type="integer"),
    AGE,
    CONTAINERS,
    IMAGES,
    Column("Selector", _selector_or_none, "Labels of its pods.", priority=1),
)

POD_TEMPLATE = (
    NAME,
    Column(
        "Containers",
        lambda obj, _: container_names(obj.template.spec.containers),
        "Names of its containers.",
    ),
    Column("Images", lambda obj, _: container_images(obj.template.spec.containers), "Images of its containers."),
    Column("Pod Labels", lambda obj, _: labels(obj.template.metadata.labels), "Labels its pods get."),
)
