"""Our structs against the models of the official client, field by field: names, and roughly what a value is."""

from __future__ import annotations

import re

import msgspec
import pytest
from client_models import docstrings, fits, pairs_of

from apiserver.api import (
    apps,
    authentication,
    authorization,
    autoscaling,
    certificates,
    coordination,
    discovery,
    events,
    policy,
    rbac,
    scheduling,
    storage,
)
from apiserver.api.base import Object
from apiserver.api.core import config, endpoints, event, namespace, node, service, service_account

KINDS: dict[str, type[Object]] = {
    "V1Service": service.Service,
    "V1Endpoints": endpoints.Endpoints,
    "V1Node": node.Node,
    "V1Namespace": namespace.Namespace,
    "V1ConfigMap": config.ConfigMap,
    "V1Secret": config.Secret,
    "V1ServiceAccount": service_account.ServiceAccount,
    "CoreV1Event": event.Event,
    "EventsV1Event": events.Event,
    "V1Deployment": apps.Deployment,
    "V1ReplicaSet": apps.ReplicaSet,
    "V1Eviction": policy.Eviction,
    "V1Lease": coordination.Lease,
    "V1EndpointSlice": discovery.EndpointSlice,
    "V1Role": rbac.Role,
    "V1RoleBinding": rbac.RoleBinding,
    "V1ClusterRole": rbac.ClusterRole,
    "V1ClusterRoleBinding": rbac.ClusterRoleBinding,
    "V1StorageClass": storage.StorageClass,
    "V1PriorityClass": scheduling.PriorityClass,
    "V1CertificateSigningRequest": certificates.CertificateSigningRequest,
    "V1TokenReview": authentication.TokenReview,
    "AuthenticationV1TokenRequest": authentication.TokenRequest,
    "V1SelfSubjectReview": authentication.SelfSubjectReview,
    "V1SubjectAccessReview": authorization.SubjectAccessReview,
    "V1LocalSubjectAccessReview": authorization.LocalSubjectAccessReview,
    "V1SelfSubjectAccessReview": authorization.SelfSubjectAccessReview,
    "V1SelfSubjectRulesReview": authorization.SelfSubjectRulesReview,
    "V1Scale": autoscaling.Scale,
}
#: Fields that came after 1.33.
NEWER = {
    "V1NodeSpec": {"podPreemptionPolicy"},
    "V1NodeStatus": {"declaredFeatures"},
    "V1NodeSystemInfo": {"runningInUserNamespace"},
    "V1TokenRequestSpec": {"attestations"},
}
#: Types with a test of their own.
ELSEWHERE = {"V1PodTemplateSpec"}


@pytest.mark.parametrize("model", sorted(KINDS))
def test_fields_are_those_of_kubernetes(model: str) -> None:
    missing, wrong = [], []
    for name, struct, json_name, kind, hint in pairs_of(model, KINDS[model], ELSEWHERE):
        if hint is None:
            if json_name not in NEWER.get(name, set()):
                missing.append(f"{struct.__name__}.{json_name}")
        elif not fits(kind, hint):
            wrong.append(f"{struct.__name__}.{json_name}: {kind}, ours {hint}")
    assert missing == []
    assert wrong == []


@pytest.mark.parametrize("model", sorted(KINDS))
def test_no_field_is_our_own(model: str) -> None:
    theirs: dict[type[Object], set[str]] = {}
    for _, struct, json_name, _, _ in pairs_of(model, KINDS[model], ELSEWHERE):
        theirs.setdefault(struct, set()).add(json_name)
    own = {
        f"{struct.__name__}.{field.encode_name}"
        for struct, names in theirs.items()
        for field in msgspec.structs.fields(struct)
        if field.encode_name not in names
    }
    assert own == set()


@pytest.mark.parametrize("model", sorted(KINDS))
def test_an_empty_object_survives_the_wire(model: str) -> None:
    empty = KINDS[model]()
    assert msgspec.json.decode(msgspec.json.encode(empty), type=KINDS[model]) == empty


@pytest.mark.parametrize("model", sorted(KINDS))
def test_every_field_is_explained(model: str) -> None:
    """`kubectl explain` reads the docstrings."""
    silent = [
        f"{struct.__name__}.{field.name}"
        for struct in {pair[1] for pair in pairs_of(model, KINDS[model], ELSEWHERE)}
        for field in msgspec.structs.fields(struct)
        if not re.search(rf"^ +{field.name}: \S", docstrings(struct), re.MULTILINE)
    ]
    assert silent == []


def test_what_clients_demand_is_written_even_when_it_is_zero() -> None:
    assert msgspec.json.encode(rbac.Role()) == b'{"metadata":{},"rules":[]}'
    assert b'"allowed":false' in msgspec.json.encode(authorization.SubjectAccessReview())
    assert b'"kubeletEndpoint":{"Port":0}' in msgspec.json.encode(node.Node())
    assert msgspec.json.encode(scheduling.PriorityClass()) == b'{"metadata":{},"value":0}'


def test_no_secret_shows_in_a_repr() -> None:
    shown = [
        repr(config.Secret(data={"a": "aHVzaA=="}, string_data={"b": "hush"})),
        repr(authentication.TokenReview(spec=authentication.TokenReviewSpec(token="hush"))),
        repr(authentication.TokenRequest(status=authentication.TokenRequestStatus(token="hush"))),
    ]
    assert [each for each in shown if "hush" in each or "aHVz" in each] == []
