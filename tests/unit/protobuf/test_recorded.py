"""Bodies that Kubernetes' own Go types wrote (release 1.37) mean the same as the JSON they wrote beside them."""

from __future__ import annotations

import msgspec
import pytest
from protobuf_world import OTHER_BODIES, body, field, kinds, recorded, recorded_body, recorded_json, recorded_type

from apiserver.api.apps import Deployment
from apiserver.api.certificates import CertificateSigningRequest
from apiserver.api.core.config import Secret
from apiserver.api.core.containers import Container
from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.core.service import Service
from apiserver.api.meta import ObjectMeta
from apiserver.decode import decode_object
from apiserver.protobuf import MEDIA_TYPE


@pytest.mark.parametrize("name", recorded())
def test_a_recorded_body_is_the_object_its_json_is(name: str) -> None:
    type_ = recorded_type(name)
    found = decode_object(recorded_body(name), MEDIA_TYPE, type_, strictness="Strict")
    assert msgspec.to_builtins(found.obj) == msgspec.to_builtins(
        decode_object(recorded_json(name), "application/json", type_, strictness="Ignore").obj
    )
    assert found.warnings == ()


def test_every_kind_of_kubernetes_is_recorded() -> None:
    assert kinds() | set(OTHER_BODIES) == {recorded_type(name) for name in recorded()}


def test_zeros_that_were_set_stay_and_those_that_were_not_are_as_absent() -> None:
    deployment: Deployment = decode_object(recorded_body("deployment"), MEDIA_TYPE, Deployment).obj
    assert deployment.spec.replicas == 0
    rolling = deployment.spec.strategy.rolling_update
    assert rolling is not None
    assert (rolling.max_unavailable, rolling.max_surge) == (0, "25%")
    small: Pod = decode_object(recorded_body("pod_small"), MEDIA_TYPE, Pod).obj
    assert small == Pod(
        api_version="v1",
        kind="Pod",
        metadata=ObjectMeta(name="small"),
        spec=PodSpec(containers=[Container(name="app", image="nginx")]),
    )
    assert b'"restartPolicy"' not in msgspec.json.encode(small)


def test_every_wire_type_of_a_list_of_numbers_is_read() -> None:
    groups = b"".join(field(4, number) for number in (1, -1))
    packed = field(4, b"\x02\x03")
    raw = body(field(2, field(14, groups + packed)), "Pod")
    pod: Pod = decode_object(raw, MEDIA_TYPE, Pod).obj
    assert pod.spec.security_context is not None
    assert pod.spec.security_context.supplemental_groups == [1, -1, 2, 3]


def test_messages_that_come_twice_merge_and_of_scalars_the_last_one_wins() -> None:
    twice = field(1, field(1, "a") + field(3, "x")) + field(1, field(1, "b"))
    secret: Secret = decode_object(body(twice, "Secret"), MEDIA_TYPE, Secret).obj
    assert (secret.metadata.name, secret.metadata.namespace) == ("b", "x")
    entries = field(2, field(1, "k") + field(2, b"1")) + field(2, field(1, "k") + field(2, b"2"))
    assert decode_object(body(entries, "Secret"), MEDIA_TYPE, Secret).obj.data == {"k": "Mg=="}


def test_map_entries_without_a_value_hold_the_zero_of_their_type() -> None:
    """Writers other than Go's leave zeros out."""
    secret = decode_object(body(field(2, field(1, "k")) + field(2, b""), "Secret"), MEDIA_TYPE, Secret).obj
    assert secret.data == {"k": "", "": ""}
    pod = decode_object(body(field(2, field(32, field(1, "cpu"))), "Pod"), MEDIA_TYPE, Pod).obj
    assert pod.spec.overhead == {"cpu": "0"}
    extra = field(2, field(6, field(1, "k")))
    csr = decode_object(body(extra, "CertificateSigningRequest"), MEDIA_TYPE, CertificateSigningRequest).obj
    assert csr.spec.extra == {"k": []}
    labels = field(1, field(11, field(1, "app")))
    assert decode_object(body(labels, "Secret"), MEDIA_TYPE, Secret).obj.metadata.labels == {"app": ""}


def test_fields_nobody_knows_are_dropped_whatever_their_wire_type() -> None:
    unknown = field(900, "x") + field(901, 7) + b"\xb1\x38" + bytes(8) + b"\xb5\x38" + bytes(4)
    raw = body(field(1, field(1, "a") + unknown) + unknown, "Service")
    found = decode_object(raw, MEDIA_TYPE, Service, strictness="Strict")
    assert (found.obj.metadata.name, found.warnings) == ("a", ())


def test_an_object_can_be_empty() -> None:
    assert decode_object(body(b""), MEDIA_TYPE, Service).obj.api_version == "v1"
