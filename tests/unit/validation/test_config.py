"""ConfigMaps, Secrets and ServiceAccounts: keys, sizes, types, and that nothing of a Secret gets into a message."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from rule_tables import GONE, broken, broken_by_update, changed, created, read, row_of, updated

from apiserver.api.errors import BadRequest
from apiserver.api.fields import Causes

MAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": "default"},
    "data": {"key": "value"},
    "binaryData": {"bytes": "AAEC"},
}
SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "password", "namespace": "default"},
    "data": {"key": "aHVzaA=="},
}
ACCOUNT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "robot", "namespace": "default"},
    "secrets": [{"name": "one", "namespace": "elsewhere", "uid": "x"}],
}
MIB = 1024 * 1024


def typed(type_: str, **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return changed(SECRET, ("type", type_), ("data", encoded))


def test_defaults() -> None:
    secret = created(changed(SECRET, ("stringData", {"key": "new", "other": "ü"})))
    assert secret.type == "Opaque"
    assert secret.data == {"key": "bmV3", "other": base64.b64encode("ü".encode()).decode()}
    assert secret.string_data == {}


def test_lines_in_base64_are_joined() -> None:
    assert created(changed(SECRET, ("data", {"key": "aHVz\naA==\n"}))).data == {"key": "aHVzaA=="}


@pytest.mark.parametrize("document", [MAP, changed(MAP, ("data", GONE)), SECRET, ACCOUNT])
def test_good_ones_break_no_rule(document: dict[str, Any]) -> None:
    assert broken(document) == []


@pytest.mark.parametrize("text", ["hush!", "aHVzaA", "aHVzaA=", "=aHVzaA=="])
def test_what_is_not_base64_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(BadRequest, match=r"data\[key\]: illegal base64 data at input byte") as refused:
        created(changed(SECRET, ("data", {"key": text})))
    assert text not in str(refused.value)
    with pytest.raises(BadRequest, match=r"binaryData\[key\]: illegal base64"):
        created(changed(MAP, ("binaryData", {"key": text})))


BAD_MAPS: list[tuple[str, Any, str, str]] = [
    ("data", {"a/b": ""}, "Invalid", "data[a/b]"),
    ("data", {"..": ""}, "Invalid", "data[..]"),
    ("binaryData", {"a b": ""}, "Invalid", "binaryData[a b]"),
    ("data", {"bytes": ""}, "Invalid", "data[bytes]"),
    ("data", {"bytes": ""}, "Invalid", "binaryData[bytes]"),
    ("data", {"big": "x" * MIB}, "TooLong", ""),
]


@pytest.mark.parametrize(("path", "value", "reason", "field"), BAD_MAPS)
def test_rules_of_config_maps(path: str, value: Any, reason: str, field: str) -> None:
    assert (reason, field) in broken(changed(MAP, (path, value)))


def test_a_config_map_may_be_just_as_big_as_that() -> None:
    assert broken(changed(MAP, ("data", {"big": "x" * (MIB - 3)}))) == []


BAD_SECRETS: list[tuple[dict[str, Any], Any]] = [
    (changed(SECRET, ("data", {"a/b": ""})), [("Invalid", "data[a/b]")]),
    (changed(SECRET, ("stringData", {"big": "x" * MIB})), [("TooLong", "data")]),
    (typed("kubernetes.io/dockercfg"), [("Required", "data[.dockercfg]")]),
    (typed("kubernetes.io/dockercfg", **{".dockercfg": "hush"}), [("Invalid", "data[.dockercfg]")]),
    (typed("kubernetes.io/dockerconfigjson"), [("Required", "data[.dockerconfigjson]")]),
    (typed("kubernetes.io/dockerconfigjson", **{".dockerconfigjson": "[]"}), [("Invalid", "data[.dockerconfigjson]")]),
    (typed("kubernetes.io/basic-auth"), [("Required", "data[username]"), ("Required", "data[password]")]),
    (typed("kubernetes.io/ssh-auth", **{"ssh-privatekey": ""}), [("Required", "data[ssh-privatekey]")]),
    (typed("kubernetes.io/tls", **{"tls.crt": ""}), [("Required", "data[tls.key]")]),
    (
        typed("kubernetes.io/service-account-token"),
        [("Required", "metadata.annotations[kubernetes.io/service-account.name]")],
    ),
]


@pytest.mark.parametrize(("document", "expected"), BAD_SECRETS)
def test_rules_of_secrets(document: dict[str, Any], expected: Any) -> None:
    assert broken(document) == expected


@pytest.mark.parametrize(
    "document",
    [
        typed("kubernetes.io/basic-auth", username="a"),
        typed("kubernetes.io/ssh-auth", **{"ssh-privatekey": "k"}),
        typed("kubernetes.io/tls", **{"tls.crt": "", "tls.key": ""}),
        typed("kubernetes.io/dockerconfigjson", **{".dockerconfigjson": '{"auths":{}}'}),
        typed("example.com/own", anything="goes"),
    ],
)
def test_types_with_what_they_need(document: dict[str, Any]) -> None:
    assert broken(document) == []


def test_no_message_shows_what_a_secret_holds() -> None:
    causes = Causes()
    document = typed("kubernetes.io/dockercfg", **{".dockercfg": "hush"})
    row_of(document).strategy.validate(created(document), causes)
    assert [cause.message for cause in causes.found] == [
        'Invalid value: "<secret contents redacted>": must be a JSON object'
    ]


@pytest.mark.parametrize(
    ("document", "change", "expected"),
    [
        (SECRET, ("type", "example.com/other"), [("Invalid", "type")]),
        (changed(SECRET, ("immutable", True)), ("data", {"key": "bmV3"}), [("Forbidden", "data")]),
        (changed(SECRET, ("immutable", True)), ("stringData", {"key": "new"}), [("Forbidden", "data")]),
        (changed(SECRET, ("immutable", True)), ("immutable", False), [("Forbidden", "immutable")]),
        (changed(MAP, ("immutable", True)), ("data", {}), [("Forbidden", "data")]),
        (changed(MAP, ("immutable", True)), ("binaryData", {}), [("Forbidden", "binaryData")]),
        (changed(MAP, ("immutable", True)), ("immutable", GONE), [("Forbidden", "immutable")]),
        (changed(MAP, ("immutable", True)), ("metadata.labels", {"a": "b"}), []),
        (SECRET, ("data", {"key": "bmV3"}), []),
        (MAP, ("data", {"key": "new"}), []),
    ],
)
def test_updates(document: dict[str, Any], change: tuple[str, Any], expected: Any) -> None:
    assert broken_by_update(changed(document, change), document) == expected


def test_an_account_keeps_only_the_names_of_its_secrets() -> None:
    (secret,) = created(ACCOUNT).secrets
    assert (secret.name, secret.namespace, secret.uid) == ("one", "", "")
    assert updated(ACCOUNT, created(ACCOUNT)).secrets == [secret]
    assert read(ACCOUNT).secrets[0].uid == "x"
