"""Certificate requests, events, reviews and token requests: what they must say, and what a decision may change."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rule_tables import broken, broken_by_status, changed, created, read, shown, updated, with_status

from apiserver.api import events as newer
from apiserver.api.authentication import TokenRequest, TokenRequestSpec
from apiserver.api.errors import BadRequest
from apiserver.api.fields import Causes
from apiserver.registry.strategies.certificates import validate_approval
from apiserver.registry.strategies.events import EventConversion
from apiserver.registry.strategies.reviews import TOKEN_REQUEST


def pem_request() -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anna")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


PEM = pem_request()


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def forged(pem: bytes) -> bytes:
    """The same request with another signature."""
    der = x509.load_pem_x509_csr(pem).public_bytes(serialization.Encoding.DER)
    body = base64.encodebytes(der[:-1] + bytes([der[-1] ^ 1]))
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"


CSR: dict[str, Any] = {
    "apiVersion": "certificates.k8s.io/v1",
    "kind": "CertificateSigningRequest",
    "metadata": {"name": "anna"},
    "spec": {
        "request": encoded(PEM),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
        "username": "anna",
    },
}
APPROVED = {"type": "Approved", "status": "True"}
EVENT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "web.1", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"},
}
NEW_EVENT = changed(
    EVENT,
    ("eventTime", "2026-01-31T12:00:00.000000Z"),
    ("reportingComponent", "kmini/scheduler"),
    ("reportingInstance", "scheduler-1"),
    ("action", "Binding"),
    ("reason", "Scheduled"),
    ("type", "Normal"),
)


@pytest.mark.parametrize("document", [CSR, EVENT, NEW_EVENT])
def test_good_ones_break_no_rule(document: dict[str, Any]) -> None:
    assert broken(document) == []


BAD: list[tuple[dict[str, Any], str, Any, str, str]] = [
    (CSR, "spec.request", "", "Invalid", "spec.request"),
    (CSR, "spec.request", encoded(b"-----BEGIN CERTIFICATE-----"), "Invalid", "spec.request"),
    (CSR, "spec.request", encoded(b"-----BEGIN CERTIFICATE REQUEST-----\nnone"), "Invalid", "spec.request"),
    (CSR, "spec.request", encoded(forged(PEM)), "Invalid", "spec.request"),
    (CSR, "spec.request", encoded(PEM * 200), "TooLong", "spec.request"),
    (CSR, "spec.usages", [], "Required", "spec.usages"),
    (CSR, "spec.usages", ["flying"], "NotSupported", "spec.usages[0]"),
    (CSR, "spec.usages", ["client auth"] * 2, "Duplicate", "spec.usages[1]"),
    (CSR, "spec.signerName", "", "Required", "spec.signerName"),
    (CSR, "spec.signerName", "me", "Invalid", "spec.signerName"),
    (CSR, "spec.signerName", "example.com/a/b", "Invalid", "spec.signerName"),
    (CSR, "spec.signerName", "com/a", "Invalid", "spec.signerName"),
    (CSR, "spec.signerName", "Example.com/a", "Invalid", "spec.signerName"),
    (CSR, "spec.signerName", "example.com/A", "Invalid", "spec.signerName"),
    (CSR, "spec.signerName", "kubernetes.io/legacy-unknown", "Invalid", "spec.signerName"),
    (CSR, "spec.expirationSeconds", 599, "Invalid", "spec.expirationSeconds"),
    (EVENT, "involvedObject.namespace", "other", "Invalid", "involvedObject.namespace"),
    (changed(EVENT, ("metadata.namespace", "team")), "involvedObject", {}, "Invalid", "involvedObject.namespace"),
    (NEW_EVENT, "reportingComponent", "", "Required", "reportingComponent"),
    (NEW_EVENT, "reportingComponent", "a b", "Invalid", "reportingComponent"),
    (NEW_EVENT, "reportingInstance", "", "Required", "reportingInstance"),
    (NEW_EVENT, "action", "x" * 129, "Invalid", "action"),
    (NEW_EVENT, "reason", "", "Required", "reason"),
    (NEW_EVENT, "message", "x" * 1025, "Invalid", "message"),
    (NEW_EVENT, "type", "Dire", "Invalid", "type"),
    (
        NEW_EVENT,
        "series",
        {"count": 1, "lastObservedTime": "2026-01-31T12:00:00.000000Z"},
        "Invalid",
        "series.count",
    ),
    (NEW_EVENT, "series", {"count": 2}, "Required", "series.lastObservedTime"),
]


@pytest.mark.parametrize(("document", "path", "value", "reason", "field"), BAD)
def test_rules(document: dict[str, Any], path: str, value: Any, reason: str, field: str) -> None:
    assert broken(changed(document, (path, value))) == [(reason, field)]


def test_events_of_the_cluster_lie_in_default() -> None:
    assert broken(changed(EVENT, ("involvedObject", {"kind": "Node", "name": "n1"}))) == []


# --- certificates ---------------------------------------------------------------------------------------


def test_what_was_asked_for_does_not_change() -> None:
    changed_request = changed(CSR, ("spec.username", "eve"), ("spec.usages", ["any"]))
    assert updated(changed_request, created(CSR)).spec == created(CSR).spec


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([APPROVED], []),
        ([{"type": "Approved", "status": "False"}], [("NotSupported", "status.conditions[0].status")]),
        ([{"type": "", "status": "True"}], [("Required", "status.conditions[0].type")]),
        ([APPROVED, APPROVED], [("Duplicate", "status.conditions[1].type")]),
        ([APPROVED, {"type": "Denied", "status": "True"}], [("Invalid", "status.conditions[1].type")]),
    ],
)
def test_rules_of_decisions(conditions: list[Any], expected: Any) -> None:
    causes = Causes()
    validate_approval(read(changed(CSR, ("status", {"conditions": conditions}))), created(CSR), causes)
    assert shown(causes) == expected


def test_a_decision_is_not_taken_back() -> None:
    causes = Causes()
    validate_approval(read(CSR), read(changed(CSR, ("status", {"conditions": [APPROVED]}))), causes)
    assert shown(causes) == [("Forbidden", "status.conditions")]


def test_the_status_decides_nothing() -> None:
    obj = with_status(changed(CSR, ("status", {"conditions": [APPROVED]})), created(CSR))
    assert obj.status.conditions == []


def test_a_certificate_is_one_and_stays() -> None:
    assert broken_by_status(changed(CSR, ("status", {"certificate": encoded(b"none")})), CSR) == [
        ("Invalid", "status.certificate")
    ]


# --- events ---------------------------------------------------------------------------------------------


def test_both_forms_of_an_event_are_one() -> None:
    stored = read(
        changed(
            NEW_EVENT,
            ("series", {"count": 2, "lastObservedTime": "2026-01-31T12:00:00.000000Z"}),
            ("source", {"component": "a", "host": "b"}),
            ("firstTimestamp", "2026-01-31T12:00:00Z"),
            ("lastTimestamp", "2026-01-31T12:00:01Z"),
            ("count", 3),
            ("message", "m"),
            ("related", {"kind": "Node", "name": "n1"}),
        )
    )
    conversion = EventConversion()
    form = conversion.from_stored(stored)
    assert isinstance(form, newer.Event)
    assert (form.api_version, form.note, form.regarding.name) == ("events.k8s.io/v1", "m", "web")
    assert conversion.to_stored(form, None) == stored


# --- reviews --------------------------------------------------------------------------------------------


def review(kind: str, spec: dict[str, Any], group: str = "authorization", **metadata: str) -> dict[str, Any]:
    return {"apiVersion": f"{group}.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


PODS = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "team"}}
HEALTH = {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (review("SubjectAccessReview", {**PODS, "user": "anna"}), []),
        (review("SubjectAccessReview", {**HEALTH, "groups": ["g"]}), []),
        (review("SubjectAccessReview", PODS), [("Invalid", "spec.user")]),
        (review("SubjectAccessReview", {"user": "anna"}), [("Invalid", "spec.resourceAttributes")]),
        (review("SubjectAccessReview", {**PODS, "user": "anna"}, name="x"), [("Invalid", "metadata")]),
        (review("SelfSubjectAccessReview", PODS), []),
        (review("SelfSubjectAccessReview", {**PODS, **HEALTH}), [("Invalid", "spec.nonResourceAttributes")]),
        (
            review("SelfSubjectAccessReview", {"resourceAttributes": {"labelSelector": {}}}),
            [("Required", "spec.resourceAttributes.labelSelector.requirements")],
        ),
        (review("LocalSubjectAccessReview", {**PODS, "user": "anna"}, namespace="team"), []),
        (
            review("LocalSubjectAccessReview", {**PODS, "user": "anna"}, namespace="other"),
            [("Invalid", "spec.resourceAttributes.namespace")],
        ),
        (
            review("LocalSubjectAccessReview", {**HEALTH, "user": "anna"}, namespace="team"),
            [("Invalid", "spec.nonResourceAttributes")],
        ),
        (review("SelfSubjectRulesReview", {"namespace": "team"}), []),
        (review("TokenReview", {"token": "t"}, "authentication"), []),
    ],
)
def test_rules_of_reviews(document: dict[str, Any], expected: Any) -> None:
    assert broken(document) == expected


def test_a_review_of_nothing() -> None:
    with pytest.raises(BadRequest, match="token is required"):
        broken(review("TokenReview", {}, "authentication"))
    with pytest.raises(BadRequest, match="no namespace on request"):
        broken(review("SelfSubjectRulesReview", {}))


@pytest.mark.parametrize(("seconds", "bad"), [(None, False), (600, False), (599, True), (0, True), (2**32 + 1, True)])
def test_how_long_a_token_may_live(seconds: int | None, bad: bool) -> None:
    request = TokenRequest(spec=TokenRequestSpec(expiration_seconds=seconds))
    TOKEN_REQUEST.default(request)
    causes = Causes()
    TOKEN_REQUEST.validate(request, causes)
    assert shown(causes) == ([("Invalid", "spec.expirationSeconds")] if bad else [])
    assert request.spec.expiration_seconds == (3600 if seconds is None else seconds)
