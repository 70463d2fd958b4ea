"""Subresources asked for what cannot be: bindings, evictions, scales, approvals, tokens, finalizers, ephemeral ones."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from api_thread import ThreadedApi, api_on_thread
from manifests import signing_request
from wrong_requests import (
    ACCOUNTS,
    DEPLOYMENTS,
    MERGE_PATCH,
    NAMESPACES,
    NODES,
    PODS,
    REQUESTS,
    STRATEGIC_PATCH,
    Wrong,
    check_wrong,
    deployment,
    pod,
    prepare,
    to_node,
)

BAD, INVALID, CONFLICT, NOT_FOUND = (400, "BadRequest"), (422, "Invalid"), (409, "Conflict"), (404, "NotFound")
SCALE = f"{DEPLOYMENTS}/there/scale"


def bound(id: str, name: str, body: Any, code_reason: tuple[int, str], says: str, *fields: str) -> Wrong:
    return Wrong(f"binding: {id}", "POST", f"{PODS}/{name}/binding", body, *code_reason, says, fields)


def scaled(id: str, replicas: Any, code_reason: tuple[int, str], says: str, *fields: str, **metadata: Any) -> Wrong:
    body = {"metadata": {"name": "there", **metadata}, "spec": {"replicas": replicas}}
    return Wrong(f"scale: {id}", "PUT", SCALE, body, *code_reason, says, fields)


def token(id: str, body: Any, code_reason: tuple[int, str], says: str, *fields: str) -> Wrong:
    return Wrong(f"token: {id}", "POST", f"{ACCOUNTS}/default/token", body, *code_reason, says, fields)


def token_for(**reference: str) -> dict[str, Any]:
    return {"spec": {"boundObjectRef": {"apiVersion": "v1", **reference}}}


def decided(id: str, conditions: list[dict[str, str]], code_reason: tuple[int, str], says: str, *fields: str) -> Wrong:
    body = {"metadata": {"name": "asked"}, "spec": ASKED["spec"], "status": {"conditions": conditions}}
    return Wrong(f"approval: {id}", "PUT", f"{REQUESTS}/asked/approval", body, *code_reason, says, fields)


ASKED: dict[str, Any] = {
    "metadata": {"name": "asked"},
    "spec": {
        "request": signing_request("alice"),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    },
}
APPROVED = {"type": "Approved", "status": "True", "reason": "Mine"}
DENIED = {"type": "Denied", "status": "True", "reason": "Mine"}

BINDINGS: list[Wrong] = [
    bound("twice", "bound", to_node("n1"), CONFLICT, "pod bound is already assigned to node"),
    bound("to a node that is not", "there", to_node("missing"), CONFLICT, 'node "missing" not found'),
    bound("of more than there is", "large", to_node("n1"), CONFLICT,
          "node n1 has not enough cpu: requested 600m, used 600m, capacity 1000m"),
    bound("of a pod that is not", "missing", to_node("n1"), NOT_FOUND, 'pods "missing" not found'),
    bound("of a gated pod", "gated", to_node("n1"), CONFLICT, "has non-empty .spec.schedulingGates"),
    bound("of a pod that goes", "ending", to_node("n1"), CONFLICT, "is being deleted, cannot be assigned to a host"),
    bound("of another pod", "there", to_node("n1", "other"), BAD, "does not match the name on the URL"),
    bound("of another namespace", "there", to_node("n1", namespace="other"), BAD, "the namespace of the provided"),
    bound("of another uid", "there", to_node("n1", uid="u"), CONFLICT, "UID in precondition: u"),
    bound("of an old version", "there", to_node("n1", resourceVersion="1"), CONFLICT, "the object has been modified"),
    bound("to nothing", "there", {"target": {}}, INVALID, "target.name: Required value", "target.name"),
    bound("to a service", "there", {"target": {"kind": "Service", "name": "a"}}, INVALID,
          'target.kind: Unsupported value: "Service"', "target.kind"),
    bound("another kind", "there", pod("there"), BAD, "must be a Binding, not a Pod"),
    Wrong("bindings: nameless", "POST", "/api/v1/namespaces/default/bindings", to_node("n1"), *BAD, "name"),
    Wrong("bindings: of a pod that is not", "POST", "/api/v1/namespaces/default/bindings", to_node("n1", "missing"),
          *NOT_FOUND, 'pods "missing" not found'),
]  # fmt: skip

PODS_WRONG: list[Wrong] = [
    Wrong("eviction: of nothing", "POST", f"{PODS}/missing/eviction", {"metadata": {"name": "missing"}}, *NOT_FOUND,
          'pods "missing" not found'),
    Wrong("eviction: of another", "POST", f"{PODS}/there/eviction", {"metadata": {"name": "other"}}, *BAD,
          "does not match the name on the URL"),
    Wrong("eviction: of another uid", "POST", f"{PODS}/there/eviction",
          {"metadata": {"name": "there"}, "deleteOptions": {"preconditions": {"uid": "u"}}}, *CONFLICT,
          "UID in precondition: u"),
    Wrong("eviction: another kind", "POST", f"{PODS}/there/eviction", pod("there"), *BAD,
          "must be a Eviction, not a Pod"),
    Wrong("status: of another name", "PUT", f"{PODS}/there/status", pod("other"), *BAD, "does not match"),
    Wrong("status: a phase of another type", "PATCH", f"{PODS}/there/status", {"status": {"phase": 1}}, *BAD,
          "status.phase", headers=MERGE_PATCH),
    Wrong("ephemeral: no image", "PATCH", f"{PODS}/there/ephemeralcontainers",
          {"spec": {"ephemeralContainers": [{"name": "debug"}]}}, *INVALID, "Required value",
          ["spec.ephemeralContainers[0].image"], headers=STRATEGIC_PATCH),
    Wrong("ephemeral: a target that is not", "PATCH", f"{PODS}/there/ephemeralcontainers",
          {"spec": {"ephemeralContainers": [{"name": "debug", "image": "a", "targetContainerName": "x"}]}}, *INVALID,
          "Not found", ["spec.ephemeralContainers[0].targetContainerName"], headers=STRATEGIC_PATCH),
]  # fmt: skip

SCALES: list[Wrong] = [
    scaled("below nothing", -1, INVALID, "must be greater than or equal to 0", "spec.replicas"),
    scaled("in words", "many", BAD, "replicas"),
    scaled("of an old version", 1, CONFLICT, "the object has been modified", resourceVersion="1"),
    scaled("of another uid", 1, CONFLICT, "UID", uid="u"),
    scaled("of another name", 1, BAD, "does not match the name on the URL", name="other"),
    Wrong("scale: another kind", "PUT", SCALE, deployment("there"), *BAD, "must be a Scale, not a Deployment"),
    Wrong("scale: a patch below nothing", "PATCH", SCALE, {"spec": {"replicas": -1}}, *INVALID,
          "must be greater than or equal to 0", ["spec.replicas"], headers=MERGE_PATCH),
    Wrong("scale: of nothing", "PATCH", f"{DEPLOYMENTS}/missing/scale", {}, *NOT_FOUND,
          'deployments.apps "missing" not found', headers=MERGE_PATCH),
]  # fmt: skip

TOKENS: list[Wrong] = [
    token("too short", {"spec": {"expirationSeconds": 10}}, INVALID, "may not specify a duration less than 10 minutes",
          "spec.expirationSeconds"),
    token("too long", {"spec": {"expirationSeconds": 1 << 33}}, INVALID, "larger than 2^32 seconds",
          "spec.expirationSeconds"),
    token("for a pod that is not", token_for(kind="Pod", name="missing"), NOT_FOUND, 'pods "missing" not found'),
    token("for another pod of the name", token_for(kind="Pod", name="there", uid="u"), CONFLICT, "does not match"),
    token("for a thing that is none", token_for(kind="Service", name="there"), BAD, "cannot bind token to object"),
    token("for nothing", token_for(kind="Pod"), INVALID, "Required value", "spec.boundObjectRef.name"),
    token("of another account", {"metadata": {"name": "other"}}, BAD, "does not match the name on the URL"),
    token("of another namespace", {"metadata": {"namespace": "other"}}, BAD, "the namespace of the provided"),
    token("another kind", pod("default"), BAD, "must be a TokenRequest, not a Pod"),
    Wrong("token: of nobody", "POST", f"{ACCOUNTS}/missing/token", {"spec": {}}, *NOT_FOUND,
          'serviceaccounts "missing" not found'),
]  # fmt: skip

OTHERS: list[Wrong] = [
    decided("both", [APPROVED, DENIED], INVALID, "Approved and Denied conditions are mutually exclusive",
            "status.conditions[1].type"),
    decided("neither true", [{**APPROVED, "status": "False"}], INVALID, "", "status.conditions[0].status"),
    decided("without a type", [{"status": "True"}], INVALID, "Required value", "status.conditions[0].type"),
    Wrong("approval: of nothing", "PATCH", f"{REQUESTS}/missing/approval", {}, *NOT_FOUND,
          'certificatesigningrequests.certificates.k8s.io "missing" not found', headers=MERGE_PATCH),
    Wrong("approval: another name", "PUT", f"{REQUESTS}/asked/approval", {**ASKED, "metadata": {"name": "other"}},
          *BAD, "does not match the name on the URL"),
    Wrong("finalize: another name", "PUT", f"{NAMESPACES}/other/finalize", {"metadata": {"name": "x"}}, *BAD,
          "does not match the name on the URL"),
    Wrong("finalize: an old version", "PUT", f"{NAMESPACES}/other/finalize",
          {"metadata": {"name": "other", "resourceVersion": "1"}}, *CONFLICT, "the object has been modified"),
    Wrong("finalize: of nothing", "PUT", f"{NAMESPACES}/missing/finalize", {"metadata": {"name": "missing"}},
          *NOT_FOUND, 'namespaces "missing" not found'),
    Wrong("node status: a quantity", "PATCH", f"{NODES}/n1/status", {"status": {"allocatable": {"cpu": "much"}}}, *BAD,
          "quantities must match the regular expression", headers=MERGE_PATCH),
    Wrong("log: of nothing", "GET", f"{PODS}/missing/log", None, *NOT_FOUND, 'pods "missing" not found'),
    Wrong("exec: without a command", "POST", f"{PODS}/bound/exec", None, *BAD, ""),
]  # fmt: skip

WRONG = [*BINDINGS, *PODS_WRONG, *SCALES, *TOKENS, *OTHERS]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedApi]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as served:
        prepare(served)
        served.create(REQUESTS, ASKED)
        yield served


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_what_cannot_be_is_refused(api: ThreadedApi, wrong: Wrong) -> None:
    check_wrong(api, wrong)


def test_a_decision_by_patch_is_signed_and_a_binding_by_its_body_binds(api: ThreadedApi) -> None:
    approved = {"status": {"conditions": [APPROVED]}}
    answer = api.json("PATCH", f"{REQUESTS}/asked/approval", approved, headers=MERGE_PATCH)
    assert answer.code == 200, answer
    assert b"BEGIN CERTIFICATE" in base64.b64decode(answer.body["status"]["certificate"])
    assert api.json("POST", "/api/v1/namespaces/default/bindings", to_node("n1", "there")).code == 201
    assert api.json("GET", f"{PODS}/there").body["spec"]["nodeName"] == "n1"
