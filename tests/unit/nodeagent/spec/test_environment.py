"""The variables of a container: where they come from, which wins, and what is said of those that are not there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from spec_world import Objects, container, pod

from nodeagent.house import NotYet
from nodeagent.spec.environment import Environment
from nodeagent.spec.failures import SOON_S
from nodeagent.spec.fields import Place

PLACE = Place(host_ips=("192.0.2.7",), pod_ips=("10.1.0.5",), allocatable={"cpu": "4"})


def made(objects: Objects | None = None, services: dict[str, str] | None = None, **fields: Any) -> dict[str, str]:
    found: dict[str, str] = environment(objects, **fields)[0](services or {})
    return found


def environment(objects: Objects | None = None, **fields: Any) -> tuple[Any, Environment]:
    spec = container(**fields)
    found = Environment(pod(spec), spec, PLACE, objects or Objects())
    return (lambda services: asyncio.run(found.variables(services))), found


def key_ref(kind: str, name: str, key: str, **more: Any) -> dict[str, Any]:
    return {kind: {"name": name, "key": key} | more}


@pytest.fixture
def objects() -> Objects:
    found = Objects()
    found.config("settings", COLOR="blue", size="9")
    found.secret_of("keys", TOKEN=b"s3cret", COLOR=b"red")
    return found


def test_values_name_what_comes_before_and_services() -> None:
    env = [
        {"name": "A", "value": "$(B)"},
        {"name": "B", "value": "b-$(DB_SERVICE_HOST)"},
        {"name": "C", "value": "$(B) $$(B) $(NONE)"},
        {"name": "DB_SERVICE_HOST", "value": "own"},
        {"name": "D", "value": "$(DB_SERVICE_HOST)"},
    ]
    found = made(services={"DB_SERVICE_HOST": "10.96.0.5", "DB_SERVICE_PORT": "5432"}, env=env)
    assert found == {
        "A": "$(B)",
        "B": "b-10.96.0.5",
        "C": "b-10.96.0.5 $(B) $(NONE)",
        "DB_SERVICE_HOST": "own",
        "D": "own",
        "DB_SERVICE_PORT": "5432",
    }


def test_sets_of_them_and_later_ones_win(objects: Objects) -> None:
    sources = [
        {"configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "keys"}},
        {"prefix": "CFG_", "configMapRef": {"name": "settings"}},
    ]
    env = [{"name": "size", "value": "10"}, {"name": "ALL", "value": "$(COLOR) $(CFG_COLOR)"}]
    assert made(objects, envFrom=sources, env=env) == {
        "COLOR": "red",
        "size": "10",
        "TOKEN": "s3cret",
        "CFG_COLOR": "blue",
        "CFG_size": "9",
        "ALL": "red blue",
    }


def test_one_by_one(objects: Objects) -> None:
    env = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "COLOR", "valueFrom": key_ref("configMapKeyRef", "settings", "COLOR")},
        {"name": "TOKEN", "valueFrom": key_ref("secretKeyRef", "keys", "TOKEN")},
        {"name": "WHERE", "value": "$(NAME)@$(IP)"},
    ]
    assert made(objects, env=env) == {
        "NAME": "web",
        "IP": "10.1.0.5",
        "CPU": "4",
        "COLOR": "blue",
        "TOKEN": "s3cret",
        "WHERE": "web@10.1.0.5",
    }


def test_what_comes_from_elsewhere_is_not_expanded(objects: Objects) -> None:
    objects.config("odd", value="$(A)")
    env = [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": key_ref("configMapKeyRef", "odd", "value")}]
    assert made(objects, env=env)["B"] == "$(A)"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"envFrom": [{"configMapRef": {"name": "none"}}]}, 'configmap "none" not found'),
        ({"envFrom": [{"secretRef": {"name": "none"}}]}, 'secret "none" not found'),
        (
            {"env": [{"name": "A", "valueFrom": key_ref("configMapKeyRef", "none", "k")}]},
            'configmap "none" not found',
        ),
        (
            {"env": [{"name": "A", "valueFrom": key_ref("secretKeyRef", "keys", "k")}]},
            "couldn't find key k in Secret shop/keys",
        ),
        (
            {"env": [{"name": "A", "valueFrom": key_ref("configMapKeyRef", "settings", "k")}]},
            "couldn't find key k in ConfigMap shop/settings",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.none"}}}]},
            "unsupported fieldPath: spec.none",
        ),
    ],
)
def test_what_is_not_there_is_said(objects: Objects, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(NotYet) as caught:
        made(objects, **fields)
    assert (caught.value.reason, caught.value.message) == ("CreateContainerConfigError", words)


def test_what_is_optional_is_left_out(objects: Objects) -> None:
    sources = [{kind: {"name": "none", "optional": True}} for kind in ("configMapRef", "secretRef")]
    env = [
        {"name": "A", "valueFrom": key_ref("configMapKeyRef", "none", "k", optional=True)},
        {"name": "B", "valueFrom": key_ref("configMapKeyRef", "settings", "k", optional=True)},
        {"name": "C", "valueFrom": key_ref("secretKeyRef", "keys", "k", optional=True)},
        {"name": "D", "value": "$(A)"},
    ]
    assert made(objects, envFrom=sources, env=env) == {"D": "$(A)"}


def test_nobody_knows_whether_what_is_optional_is_there(objects: Objects) -> None:
    objects.down = True
    with pytest.raises(NotYet, match='configmap "settings": nobody answers') as caught:
        made(objects, envFrom=[{"configMapRef": {"name": "settings", "optional": True}}])
    assert caught.value.again_s == SOON_S
    with pytest.raises(NotYet, match='secret "keys": nobody answers'):
        made(objects, env=[{"name": "A", "valueFrom": key_ref("secretKeyRef", "keys", "k", optional=True)}])


def test_keys_that_cannot_be_names_are_left_out_and_said(objects: Objects) -> None:
    objects.config("odd", **{"a=b": "1", "é": "2", "1-ok.": "3"})
    variables, found = environment(objects, envFrom=[{"configMapRef": {"name": "odd"}}])
    assert variables({}) == {"1-ok.": "3"}
    assert found.skipped == [
        "Keys [a=b, é] from the EnvFrom configMap shop/odd were skipped since they are considered invalid environment "
        "variable names."
    ]


@pytest.mark.parametrize("value", [b"\xff\xfesecret", b"secret\0"])
def test_bytes_that_no_variable_can_hold_are_said_and_not_shown(objects: Objects, value: bytes) -> None:
    objects.secret_of("blob", key=value)
    with pytest.raises(NotYet, match="key key of secret shop/blob") as caught:
        made(objects, env=[{"name": "A", "valueFrom": key_ref("secretKeyRef", "blob", "key")}])
    assert "secret\0" not in caught.value.message
    assert "fesecret" not in caught.value.message
