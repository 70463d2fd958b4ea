"""The variables of a container: from Services, from whole ConfigMaps and Secrets, and one by one; later ones win.

A value may name variables that come before it, and those of Services. What is not there and not optional lets the
container wait with Kubernetes' words.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Protocol

from apiserver.api.core.config import ConfigMap, Secret
from apiserver.api.core.containers import (
    ConfigMapKeySelector,
    Container,
    EnvFromSource,
    EnvVarSource,
    SecretKeySelector,
)
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError
from apiserver.api.names import is_env_var_name

from .expansion import expand
from .failures import SOON_S, config_error
from .fields import Place, field_value, resource_value


class References(Protocol):
    """Both raise ApiError when nobody can say."""

    async def config_map(self, namespace: str, name: str) -> ConfigMap | None: ...

    async def secret(self, namespace: str, name: str) -> Secret | None: ...


class Environment:
    """Of one container. `skipped` are keys that cannot be names of variables, with where they are from."""

    def __init__(self, pod: Pod, container: Container, place: Place, references: References) -> None:
        self.skipped: list[str] = []
        self._pod = pod
        self._container = container
        self._place = place
        self._references = references

    async def variables(self, of_services: Mapping[str, str]) -> dict[str, str]:
        """Raises NotYet."""
        found: dict[str, str] = {}
        for source in self._container.env_from:
            found |= await self._all_of(source)
        for variable in self._container.env:
            if variable.value_from is None:
                found[variable.name] = expand(variable.value, found, of_services)
                continue
            value = await self._value(variable.value_from)
            if value is not None:
                found[variable.name] = value
        return {**found, **{name: value for name, value in of_services.items() if name not in found}}

    async def _all_of(self, source: EnvFromSource) -> dict[str, str]:
        namespace, where = self._pod.metadata.namespace, ""
        texts: Mapping[str, str] = {}
        if source.config_map_ref is not None:
            ref = source.config_map_ref
            config = await self._config_map(ref.name, optional=bool(ref.optional))
            texts, where = config.data if config else {}, f"configMap {namespace}/{ref.name}"
        elif source.secret_ref is not None:
            secret_ref = source.secret_ref
            secret = await self._secret(secret_ref.name, optional=bool(secret_ref.optional))
            texts, where = secret.data if secret else {}, f"secret {namespace}/{secret_ref.name}"
        named = {f"{source.prefix}{key}": key for key in sorted(texts)}
        self._note_skipped((name for name in named if is_env_var_name(name)), where)
        kept = {name: key for name, key in named.items() if not is_env_var_name(name)}
        if source.secret_ref is not None:
            return {name: _decoded(texts[key], key, where) for name, key in kept.items()}
        return {name: texts[key] for name, key in kept.items()}

    def _note_skipped(self, names: Iterable[str], where: str) -> None:
        listed = ", ".join(names)
        if listed:
            self.skipped.append(
                f"Keys [{listed}] from the EnvFrom {where} were skipped since they are considered invalid environment "
                "variable names."
            )

    async def _value(self, source: EnvVarSource) -> str | None:
        """None: there is none, and that is fine. Raises NotYet."""
        try:
            if source.field_ref is not None:
                return field_value(self._pod, source.field_ref.field_path, self._place)
            if source.resource_field_ref is not None:
                return resource_value(self._pod, self._container, source.resource_field_ref, self._place)
        except ValueError as error:
            raise config_error(str(error)) from error
        if source.config_map_key_ref is not None:
            return await self._of_config_map(source.config_map_key_ref)
        return await self._of_secret(source.secret_key_ref) if source.secret_key_ref is not None else None

    async def _of_config_map(self, ref: ConfigMapKeySelector) -> str | None:
        found = await self._config_map(ref.name, optional=bool(ref.optional))
        if found is None or ref.key not in found.data:
            self._must_be_optional(ref, "ConfigMap")
            return None
        return found.data[ref.key]

    async def _of_secret(self, ref: SecretKeySelector) -> str | None:
        found = await self._secret(ref.name, optional=bool(ref.optional))
        if found is None or ref.key not in found.data:
            self._must_be_optional(ref, "Secret")
            return None
        return _decoded(found.data[ref.key], ref.key, f"secret {self._pod.metadata.namespace}/{ref.name}")

    def _must_be_optional(self, ref: ConfigMapKeySelector | SecretKeySelector, kind: str) -> None:
        """Who refers to a key that is not there. Raises NotYet."""
        if not ref.optional:
            where = f"{self._pod.metadata.namespace}/{ref.name}"
            raise config_error(f"couldn't find key {ref.key} in {kind} {where}")

    async def _config_map(self, name: str, *, optional: bool) -> ConfigMap | None:
        try:
            found = await self._references.config_map(self._pod.metadata.namespace, name)
        except ApiError as error:
            raise config_error(f'configmap "{name}": {error.message}', again_s=SOON_S) from error
        if found is None and not optional:
            raise config_error(f'configmap "{name}" not found')
        return found

    async def _secret(self, name: str, *, optional: bool) -> Secret | None:
        try:
            found = await self._references.secret(self._pod.metadata.namespace, name)
        except ApiError as error:
            raise config_error(f'secret "{name}": {error.message}', again_s=SOON_S) from error
        if found is None and not optional:
            raise config_error(f'secret "{name}" not found')
        return found


def _decoded(value: str, key: str, where: str) -> str:
    """Raises NotYet for bytes that no variable can hold. They are not shown."""
    try:
        text = base64.b64decode(value).decode()
    except ValueError:
        raise config_error(f"key {key} of {where} is not UTF-8, as a variable must be") from None
    if "\0" in text:
        raise config_error(f"key {key} of {where} contains a zero byte, as no variable may")
    return text
