"""The rows of v1alpha1, and the rules of a write that go beyond the conversion itself."""

from __future__ import annotations

import copy

import msgspec
import pytest
from hypothesis import given, settings
from random_objects import objects

from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.errors import BadRequest
from apiserver.api.kinds import KINDS
from apiserver.api.meta import ObjectMeta
from apiserver.api.v1alpha1 import pods, services
from apiserver.api.v1alpha1.conversion import STEPS
from apiserver.decode import decode_object
from apiserver.registry.native import ROWS, NativeConversion
from apiserver.registry.resource import Resource

PODS = objects(Pod, spec=objects(PodSpec, always=("containers", "init_containers", "tolerations")))


def test_every_kind_has_a_row_that_clients_know() -> None:
    assert {row.kind for row in ROWS} == set(STEPS)
    for row in ROWS:
        known = KINDS["v1alpha1", row.kind]
        assert (known.api_version, known.plural, known.namespaced) == (row.api_version, row.plural, row.namespaced)
        assert row.conversion is not None


def test_v1_keeps_its_short_names() -> None:
    """`kubectl get po` and `kubectl get all` must not find the small form."""
    assert not any(row.short_names or row.categories for row in ROWS)


def test_a_create_brings_no_status() -> None:
    pod = pods.Pod(api_version="v1alpha1", kind="Pod", metadata=ObjectMeta(name="a"), status=pods.PodStatus(phase="X"))
    assert NativeConversion(STEPS["Pod"]).to_stored(pod, None).status.phase == ""
    assert pod.status.phase == "X"


def test_nobody_chooses_an_address_by_the_status_of_a_new_service() -> None:
    service = services.Service(status=services.ServiceStatus(cluster_ip="10.96.0.10"))
    assert NativeConversion(STEPS["Service"]).to_stored(service, None).spec.cluster_ip == ""


def test_a_write_of_the_status_is_converted() -> None:
    conversion = NativeConversion(STEPS["Pod"])
    old = Pod(api_version="v1", kind="Pod")
    pod = conversion.from_stored(old)
    pod.status = pods.PodStatus(phase="Running")
    assert conversion.to_stored(pod, old).status.phase == "Running"


@given(old=PODS)
@settings(max_examples=30, deadline=None)
def test_the_server_may_change_what_it_converted(old: Pod) -> None:
    conversion = NativeConversion(STEPS["Pod"])
    before = msgspec.json.encode(old)
    new = conversion.to_stored(conversion.from_stored(copy.deepcopy(old)), old)
    for container in (*new.spec.containers, *new.spec.init_containers):
        container.name = "changed"
        container.resources.limits["changed"] = "1"
        container.volume_mounts.clear()
    new.spec.tolerations.clear()
    assert msgspec.json.encode(old) == before


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.kind))
def test_unknown_fields_are_named(row: Resource) -> None:
    raw = msgspec.json.encode({"apiVersion": "v1alpha1", "spec": {"livenessProbe": 1}, "status": {"odd": 1}, "x": 1})
    with pytest.raises(BadRequest) as caught:
        decode_object(raw, "application/json", row.type, strictness="Strict")
    for name in ("spec.livenessProbe", "status.odd", "x"):
        assert f'unknown field "{name}"' in caught.value.message
