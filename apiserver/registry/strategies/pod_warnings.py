"""What is allowed in a pod and yet hardly meant: told in Warning headers, for pods and templates."""

from __future__ import annotations

from apiserver.api.core.containers import Container
from apiserver.api.core.pod import PodSpec

from .pod_validation.operating_systems import all_containers

_NEWER_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_OLD_VOLUMES = {"git_repo": "v1.11", "glusterfs": "v1.25", "rbd": "v1.28", "cephfs": "v1.28", "scale_io": "v1.16"}


def newer_label(key: str) -> str | None:
    """The name that took a label's place."""
    return _NEWER_LABELS[key][1] if key in _NEWER_LABELS else None


def _twice(container: Container, path: str) -> list[str]:
    found = []
    seen: set[str] = set()
    for index, variable in enumerate(container.env):
        if variable.name in seen:
            found.append(
                f'{path}.env[{index}]: hides previous definition of "{variable.name}", '
                "which may be dropped when using apply"
            )
        seen.add(variable.name)
    ports: dict[tuple[int, str, str, int], int] = {}
    for index, port in enumerate(container.ports):
        key = (port.container_port, port.protocol, port.host_ip, port.host_port)
        first = ports.setdefault(key, index)
        if first != index:
            found.append(f"{path}.ports[{index}]: duplicate port definition with {path}.ports[{first}]")
    return found


def pod_warnings(spec: PodSpec, path: str) -> list[str]:
    """Sentences, each beginning with the path of the field it is about."""
    found = []
    for key in spec.node_selector:
        if key in _NEWER_LABELS:
            since, newer = _NEWER_LABELS[key]
            found.append(f'{path}.nodeSelector[{key}]: deprecated since {since}; use "{newer}" instead')
    for index, volume in enumerate(spec.volumes):
        for attribute, since in _OLD_VOLUMES.items():
            if getattr(volume, attribute) is not None:
                name = volume.__struct_encode_fields__[volume.__struct_fields__.index(attribute)]
                found.append(f"{path}.volumes[{index}].{name}: deprecated in {since}")
    for index, reference in enumerate(spec.image_pull_secrets):
        if not reference.name:
            found.append(f'{path}.imagePullSecrets[{index}].name: invalid empty name ""')
    period = spec.termination_grace_period_seconds
    if period is not None and period < 0:
        found.append(
            f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and treated as 1"
        )
    for container, here in all_containers(spec, path):
        found += _twice(container, here)
    return found
