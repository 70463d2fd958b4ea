"""What a pod refers to: the objects of its namespace that its node has to read for it.

The API server's node authorizer and the nodes' agents go by these very functions: what an agent asks for, it may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SECRETS = "secrets"
CONFIG_MAPS = "configmaps"
CLAIMS = "persistentvolumeclaims"
SERVICE_ACCOUNTS = "serviceaccounts"

#: Sources with a `secret_ref`, the same in pods and PersistentVolumes.
_SECRET_REF_SOURCES = ("cephfs", "cinder", "flex_volume", "iscsi", "rbd", "scale_io", "storageos")


def pod_references(pod: Any) -> Iterator[str]:
    """What a pod uses: `secrets/<name>`, `configmaps/<name>`, ... of its namespace; some more than once."""
    spec = pod.spec
    if spec.service_account_name:
        yield f"{SERVICE_ACCOUNTS}/{spec.service_account_name}"
    for secret in spec.image_pull_secrets:
        yield f"{SECRETS}/{secret.name}"
    for container in (*spec.init_containers, *spec.containers, *spec.ephemeral_containers):
        yield from _container_references(container)
    for volume in spec.volumes:
        yield from _pod_volume_references(pod, volume)


def _container_references(container: Any) -> Iterator[str]:
    for source in container.env_from:
        if source.secret_ref:
            yield f"{SECRETS}/{source.secret_ref.name}"
        if source.config_map_ref:
            yield f"{CONFIG_MAPS}/{source.config_map_ref.name}"
    for variable in container.env:
        source = variable.value_from
        if source and source.secret_key_ref:
            yield f"{SECRETS}/{source.secret_key_ref.name}"
        if source and source.config_map_key_ref:
            yield f"{CONFIG_MAPS}/{source.config_map_key_ref.name}"


def _pod_volume_references(pod: Any, volume: Any) -> Iterator[str]:
    if volume.secret:
        yield f"{SECRETS}/{volume.secret.secret_name}"
    if volume.config_map:
        yield f"{CONFIG_MAPS}/{volume.config_map.name}"
    for source in volume.projected.sources if volume.projected else ():
        if source.secret:
            yield f"{SECRETS}/{source.secret.name}"
        if source.config_map:
            yield f"{CONFIG_MAPS}/{source.config_map.name}"
    if volume.persistent_volume_claim:
        yield f"{CLAIMS}/{volume.persistent_volume_claim.claim_name}"
    if volume.ephemeral:
        yield f"{CLAIMS}/{pod.metadata.name}-{volume.name}"
    if volume.csi and volume.csi.node_publish_secret_ref:
        yield f"{SECRETS}/{volume.csi.node_publish_secret_ref.name}"
    if volume.azure_file:
        yield f"{SECRETS}/{volume.azure_file.secret_name}"
    for reference in secret_refs(volume):
        yield f"{SECRETS}/{reference.name}"


def secret_refs(sources: Any) -> Iterator[Any]:
    """Of a pod's volume or a PersistentVolume's spec."""
    for field in _SECRET_REF_SOURCES:
        source = getattr(sources, field)
        if source and source.secret_ref:
            yield source.secret_ref
