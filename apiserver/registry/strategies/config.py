"""ConfigMap, Secret and ServiceAccount: keys, sizes, types, and what may still change.

Content never gets into a message.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

import msgspec

from apiserver.api.core.config import ConfigMap, Secret
from apiserver.api.core.references import ObjectReference
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.errors import BadRequest
from apiserver.api.fields import Causes
from apiserver.api.names import is_config_map_key
from apiserver.api.validation import check, validate_immutable
from apiserver.registry.strategy import Strategy

CONTENT_BYTES_MAX = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"
_REDACTED = "<secret contents redacted>"

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105  a type, not a token
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
#: Type -> keys its Secrets must have.
_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_BASIC_AUTH, _SSH_AUTH = "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth"
_not_base64_re = re.compile(r"[^A-Za-z0-9+/]")


def base64_bytes(text: str) -> int:
    """How many bytes a Base64 text stands for."""
    return len(text) // 4 * 3 - text[-2:].count("=")


def canonical_base64(values: dict[str, str], path: str) -> dict[str, str]:
    """Without line ends, which Kubernetes reads over. Raises BadRequest naming the entry, never its value."""
    return {key: _canonical(value, f"{path}[{key}]") for key, value in values.items()}


def _canonical(value: str, path: str) -> str:
    text = value.replace("\n", "").replace("\r", "")
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except (ValueError, binascii.Error):
        wrong = _not_base64_re.search(text.rstrip("="))
        raise BadRequest(f"{path}: illegal base64 data at input byte {wrong.start() if wrong else len(text)}") from None
    return text


class ConfigMapStrategy(Strategy[ConfigMap]):
    def default(self, obj: ConfigMap) -> None:
        obj.binary_data = canonical_base64(obj.binary_data, "binaryData")

    def validate(self, obj: ConfigMap, causes: Causes) -> None:
        for name, keys, other, others in (
            ("data", obj.data, "binaryData", obj.binary_data),
            ("binaryData", obj.binary_data, "data", obj.data),
        ):
            for key in keys:
                check(is_config_map_key, key, causes, f"{name}[{key}]")
                if key in others:
                    causes.invalid(f"{name}[{key}]", key, f"duplicate of key present in {other}")
        size = sum(len(text.encode()) for text in obj.data.values())
        size += sum(map(base64_bytes, obj.binary_data.values()))
        if size > CONTENT_BYTES_MAX:
            causes.too_long("", CONTENT_BYTES_MAX)

    def validate_update(self, obj: ConfigMap, old: ConfigMap, causes: Causes) -> None:
        if old.immutable:
            _validate_frozen(obj, old, causes, {"data": "data", "binary_data": "binaryData"})


class SecretStrategy(Strategy[Secret]):
    def default(self, obj: Secret) -> None:
        _fold(obj)
        obj.type = obj.type or OPAQUE
        obj.data = canonical_base64(obj.data, "data")

    def validate(self, obj: Secret, causes: Causes) -> None:
        for key in obj.data:
            check(is_config_map_key, key, causes, f"data[{key}]")
        if sum(map(base64_bytes, obj.data.values())) > CONTENT_BYTES_MAX:
            causes.too_long("data", CONTENT_BYTES_MAX)
        _validate_type(obj, causes)

    def validate_update(self, obj: Secret, old: Secret, causes: Causes) -> None:
        validate_immutable(obj.type, old.type, causes, "type")
        if old.immutable:
            _validate_frozen(obj, old, causes, {"data": "data"})


class ServiceAccountStrategy(Strategy[ServiceAccount]):
    returns_deleted = True

    def prepare_create(self, obj: ServiceAccount) -> None:
        _only_names(obj)

    def prepare_update(self, obj: ServiceAccount, old: ServiceAccount) -> None:
        _only_names(obj)


CONFIG_MAP = ConfigMapStrategy()
SECRET = SecretStrategy()
SERVICE_ACCOUNT = ServiceAccountStrategy()


def _fold(secret: Secret) -> None:
    """stringData is for writing only: it becomes data, and wins over it."""
    if secret.string_data:
        texts = {key: base64.b64encode(text.encode()).decode() for key, text in secret.string_data.items()}
        secret.data = {**secret.data, **texts}
        secret.string_data = {}


def _only_names(account: ServiceAccount) -> None:
    """The account's Secrets are in its own namespace: nothing but the name counts."""
    account.secrets = [ObjectReference(name=each.name) for each in account.secrets]


def _validate_frozen(obj: ConfigMap | Secret, old: ConfigMap | Secret, causes: Causes, fields: dict[str, str]) -> None:
    if not obj.immutable:
        causes.forbidden("immutable", _FROZEN)
    for attribute, name in fields.items():
        if getattr(obj, attribute) != getattr(old, attribute):
            causes.forbidden(name, _FROZEN)


def _validate_type(secret: Secret, causes: Causes) -> None:
    if secret.type == SERVICE_ACCOUNT_TOKEN:
        if not secret.metadata.annotations.get(SERVICE_ACCOUNT_NAME):
            causes.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")
    elif secret.type == _BASIC_AUTH:
        if not {"username", "password"} & secret.data.keys():
            _require(("username", "password"), secret.data, causes)
    elif secret.type == _SSH_AUTH:
        _require(("ssh-privatekey",), {key for key, value in secret.data.items() if value}, causes)
    else:
        _require(_KEYS.get(secret.type, ()), secret.data, causes)
        for key in (".dockercfg", ".dockerconfigjson"):
            if key in secret.data and key in _KEYS.get(secret.type, ()):
                _validate_json(secret.data[key], causes, f"data[{key}]")


def _require(keys: Iterable[str], there: Iterable[str], causes: Causes) -> None:
    for key in keys:
        if key not in there:
            causes.required(f"data[{key}]")


def _validate_json(value: str, causes: Causes, path: str) -> None:
    try:
        msgspec.json.decode(base64.b64decode(value), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        causes.invalid(path, _REDACTED, "must be a JSON object")
