"""What several plug-ins ask about pods."""

from __future__ import annotations

from typing import Any

from .plugin import Admission

PODS = "pods"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


def is_new_pod(request: Admission) -> bool:
    return request.resource.key == PODS and request.operation == "CREATE" and not request.subresource


def is_mirror(pod: Any) -> bool:
    """Whether the pod only shows what a node runs from a file of its own."""
    return MIRROR_ANNOTATION in pod.metadata.annotations
