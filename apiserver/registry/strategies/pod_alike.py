"""Defaults of pods that are alike but for their names, as those of one template are: worked out once, then copied.

What a spec becomes depends on the spec alone, and in no way on the node's name. It is kept as JSON, so that each pod
gets a spec of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from apiserver.api.core.pod import Pod, PodSpec

from .pod_defaults import default_pod, default_status
from .pod_quality import qos_class
from .pod_validation.remembered import digest_without_node

KEPT_MAX = 512
SPEC_BYTES_MAX = 8 * 1024  # of a spec that is kept

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(PodSpec).decode


class _Defaulted(NamedTuple):
    spec: bytes
    qos_class: str


class AlikePods:
    """Of one server."""

    def __init__(self) -> None:
        self._kept: dict[bytes, _Defaulted] = {}  # by digest of what was asked for

    def default(self, pod: Pod) -> None:
        """What `default_pod` does, and the class of service. Raises BadRequest as it does."""
        asked = digest_without_node(pod.spec)
        node = pod.spec.node_name
        known = self._kept.get(asked)
        if known is None:
            default_pod(pod)
            pod.spec.node_name = ""
            known = self._keep(asked, pod)
        else:
            pod.spec = _decode(known.spec)
            default_status(pod)
        pod.spec.node_name = node
        pod.status.qos_class = pod.status.qos_class or known.qos_class

    def _keep(self, asked: bytes, pod: Pod) -> _Defaulted:
        made = _Defaulted(_encode(pod.spec), qos_class(pod.spec))
        if len(made.spec) <= SPEC_BYTES_MAX:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[asked] = made
        return made
