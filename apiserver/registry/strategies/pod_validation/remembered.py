"""Pod specs that kept every rule, remembered by their digest: the pods of one template are judged once.

A spec is judged by nothing but what it says, so what was good stays good. Only specs without a fault are remembered: a
bad one is told all its faults each time. What depends on the pod's name (volumes that become claims) is never skipped,
and the node's name is judged by itself, so that a pod that is bound is no news.
"""

from __future__ import annotations

import hashlib

import msgspec

from apiserver.api.core.pod import PodSpec
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_subdomain
from apiserver.api.validation import check

from .spec import validate_pod_spec

REMEMBERED_MAX = 4_096

_encode = msgspec.json.Encoder().encode


def digest_without_node(spec: PodSpec) -> bytes:
    """The same for a pod before and after it is bound."""
    node, spec.node_name = spec.node_name, ""
    try:
        return hashlib.blake2b(_encode(spec), digest_size=32).digest()
    finally:
        spec.node_name = node


class GoodSpecs:
    """Of one server."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def validate(self, spec: PodSpec, causes: Causes, *, pod_name: str) -> None:
        """What `validate_pod_spec` says of a pod's spec."""
        if any(volume.ephemeral is not None for volume in spec.volumes):
            validate_pod_spec(spec, causes, "spec", pod_name=pod_name, is_pod=True)
            return
        digest = digest_without_node(spec)
        if digest in self._digests:
            if spec.node_name:
                check(is_dns_subdomain, spec.node_name, causes, "spec.nodeName")
            return
        found = Causes()
        validate_pod_spec(spec, found, "spec", pod_name=pod_name, is_pod=True)
        for cause in found.found:
            causes.add(cause.reason, cause.field, cause.message)
        if not found:
            if len(self._digests) >= REMEMBERED_MAX:
                self._digests.clear()
            self._digests.add(digest)
