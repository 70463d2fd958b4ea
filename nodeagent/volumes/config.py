"""configMap and secret: the keys of an object as files. Without the object the pod waits, unless it may do without."""

from __future__ import annotations

from apiserver.api.core.volumes import (
    ConfigMapProjection,
    ConfigMapVolumeSource,
    SecretProjection,
    SecretVolumeSource,
)
from nodeagent.references import References

from .failures import CannotMount
from .payload import Payload, of_config_map, of_secret, selected


async def config_map_files(
    references: References, namespace: str, source: ConfigMapVolumeSource | ConfigMapProjection, mode: int | None
) -> Payload:
    """Raises ApiError, CannotMount."""
    found, optional = await references.config_map(namespace, source.name), bool(source.optional)
    if found is None and not optional:
        raise CannotMount(f'configmap "{source.name}" not found')
    contents = of_config_map(found) if found is not None else {}
    return selected(contents, source.items, mode=mode, optional=optional, what="configmap")


async def secret_files(
    references: References, namespace: str, source: SecretVolumeSource | SecretProjection, mode: int | None
) -> Payload:
    """Raises ApiError, CannotMount."""
    name = source.secret_name if isinstance(source, SecretVolumeSource) else source.name
    found, optional = await references.secret(namespace, name), bool(source.optional)
    if found is None and not optional:
        raise CannotMount(f'secret "{name}" not found')
    contents = of_secret(found) if found is not None else {}
    return selected(contents, source.items, mode=mode, optional=optional, what="secret")
