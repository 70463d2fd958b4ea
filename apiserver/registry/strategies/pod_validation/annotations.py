"""Annotations that mean something to the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.api.core.pod import PodSpec
from apiserver.api.fields import Causes

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_INT32_MAX = 2**31 - 1


def is_int32(text: str) -> bool:
    """A decimal number as strconv reads one; no sign but a leading minus, no leading zeros."""
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 10 or (digits[0] == "0" and text != "0"):
        return False
    return -_INT32_MAX - 1 <= int(text) <= _INT32_MAX


def validate_pod_annotations(annotations: Mapping[str, str], spec: PodSpec, causes: Causes, path: str) -> None:
    if MIRROR in annotations and not spec.node_name:
        rule = "must set spec.nodeName if mirror pod annotation is set"
        causes.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], rule)
    if DELETION_COST in annotations and not is_int32(annotations[DELETION_COST]):
        causes.invalid(f"{path}[{DELETION_COST}]", annotations[DELETION_COST], "must be a 32bit integer")


def validate_annotation_changes(new: Mapping[str, str], old: Mapping[str, str], causes: Causes, path: str) -> None:
    """Whether a pod mirrors a file of its node is settled when it is made."""
    if MIRROR in old and new.get(MIRROR) != old[MIRROR]:
        causes.forbidden(f"{path}[{MIRROR}]", "may not remove or update mirror pod annotation")
    elif MIRROR in new and MIRROR not in old:
        causes.forbidden(f"{path}[{MIRROR}]", "may not add mirror pod annotation")
