"""Environment variables, and references to fields of the pod (which volumes use too)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from apiserver.api.core.containers import (
    ConfigMapKeySelector,
    EnvFromSource,
    EnvVar,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretKeySelector,
)
from apiserver.api.fields import Causes
from apiserver.api.names import is_config_map_key, is_dns_subdomain, is_env_var_name, is_qualified_name
from apiserver.api.quantity import parse
from apiserver.api.validation import check

from .texts import named, required

ENV_FIELDS = frozenset(
    (
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    )
)
VOLUME_FIELDS = frozenset(
    ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
)
#: Fields that have a name at all; which of them may be used depends on the place.
_KNOWN_FIELDS = ENV_FIELDS | VOLUME_FIELDS | {"spec.restartPolicy", "spec.schedulerName", "status.phase"}
_RESOURCES = frozenset(
    f"{half}.{name}" for half in ("limits", "requests") for name in ("cpu", "memory", "ephemeral-storage")
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_CPU_DIVISORS = ("1m", "1")
_BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_subscript_re = re.compile(r"([^\[\]]+)\['(.*)'\]")


def validate_field_ref(ref: ObjectFieldSelector, allowed: Collection[str], causes: Causes, path: str) -> None:
    """`metadata.name` and the like, or one label or annotation: `metadata.labels['app']`."""
    if not required(causes, f"{path}.apiVersion", ref.api_version):
        return
    if not required(causes, f"{path}.fieldPath", ref.field_path):
        return
    subscripted = _subscript_re.fullmatch(ref.field_path)
    field = subscripted[1] if subscripted else ref.field_path
    if ref.api_version != "v1":
        problem = f"unsupported pod version: {ref.api_version}"
    elif subscripted and field not in ("metadata.annotations", "metadata.labels"):
        problem = f"field label does not support subscript: {ref.field_path}"
    elif field not in _KNOWN_FIELDS:
        problem = f"field label not supported: {ref.field_path}"
    else:
        problem = ""
    if problem:
        causes.invalid(f"{path}.fieldPath", ref.field_path, f"error converting fieldPath: {problem}")
    elif subscripted:
        key = subscripted[2]
        check(is_qualified_name, key.lower() if field == "metadata.annotations" else key, causes, path)
    elif field not in allowed:
        causes.not_supported(f"{path}.fieldPath", field, allowed)


def validate_resource_ref(ref: ResourceFieldSelector, causes: Causes, path: str, *, in_volume: bool) -> None:
    """A request or limit; a volume must also say of which container."""
    if in_volume and not ref.container_name:
        causes.required(f"{path}.containerName")
    elif not ref.resource:
        causes.required(f"{path}.resource")
    elif ref.resource not in _RESOURCES and not ref.resource.startswith(_HUGE_PAGES):
        causes.not_supported(f"{path}.resource", ref.resource, _RESOURCES)
    _divisor(ref, causes, f"{path}.divisor")


def _divisor(ref: ResourceFieldSelector, causes: Causes, path: str) -> None:
    divisor = parse(ref.divisor)
    if not divisor:
        return
    if ref.resource.endswith(".cpu"):
        if str(divisor) not in _CPU_DIVISORS:
            rule = "only divisor's values 1m and 1 are supported with the cpu resource"
            causes.invalid(path, ref.resource, rule)
    elif str(divisor) not in _BYTE_DIVISORS:
        kind = ref.resource.partition(".")[2]
        kind = {"ephemeral-storage": "local ephemeral storage"}.get(kind, kind)
        kind = "hugepages" if kind.startswith("hugepages-") else kind
        if ref.resource in _RESOURCES or kind == "hugepages":
            rule = f"only divisor's values {', '.join(_BYTE_DIVISORS)} are supported with the {kind} resource"
            causes.invalid(path, ref.resource, rule)


def _key_ref(ref: ConfigMapKeySelector | SecretKeySelector, causes: Causes, path: str) -> None:
    check(is_dns_subdomain, ref.name, causes, f"{path}.name")
    named(is_config_map_key, ref.key, causes, f"{path}.key")


def _value_from(variable: EnvVar, causes: Causes, path: str) -> None:
    source = variable.value_from
    if source is None:
        return
    if source.field_ref:
        validate_field_ref(source.field_ref, ENV_FIELDS, causes, f"{path}.fieldRef")
    if source.resource_field_ref:
        validate_resource_ref(source.resource_field_ref, causes, f"{path}.resourceFieldRef", in_volume=False)
    if source.config_map_key_ref:
        _key_ref(source.config_map_key_ref, causes, f"{path}.configMapKeyRef")
    if source.secret_key_ref:
        _key_ref(source.secret_key_ref, causes, f"{path}.secretKeyRef")
    given = (source.field_ref, source.resource_field_ref, source.config_map_key_ref, source.secret_key_ref)
    count = sum(each is not None for each in given)
    if count == 0:
        rule = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        causes.invalid(path, "", rule)
    elif variable.value:
        causes.invalid(path, "", "may not be specified when `value` is not empty")
    elif count > 1:
        causes.invalid(path, "", "may not have more than one field specified at a time")


def validate_env(variables: Sequence[EnvVar], causes: Causes, path: str) -> None:
    for index, each in enumerate(variables):
        named(is_env_var_name, each.name, causes, f"{path}[{index}].name")
        _value_from(each, causes, f"{path}[{index}].valueFrom")


def validate_env_from(sources: Sequence[EnvFromSource], causes: Causes, path: str) -> None:
    for index, each in enumerate(sources):
        here = f"{path}[{index}]"
        if each.prefix:
            check(is_env_var_name, each.prefix, causes, f"{here}.prefix")
        if each.config_map_ref:
            named(is_dns_subdomain, each.config_map_ref.name, causes, f"{here}.configMapRef.name")
        if each.secret_ref:
            named(is_dns_subdomain, each.secret_ref.name, causes, f"{here}.secretRef.name")
        if not each.config_map_ref and not each.secret_ref:
            causes.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif each.config_map_ref and each.secret_ref:
            causes.invalid(path, "", "may not have more than one field specified at a time")
