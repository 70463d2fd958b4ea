"""Columns of RBAC's four kinds and of certificate signing requests."""

from __future__ import annotations

from typing import Any

from apiserver.api.times import human_age
from apiserver.registry.resource import Column

from .cells import AGE, CREATED_AT, NAME, NONE

ROLE = (NAME, CREATED_AT)


def _subject(subject: Any) -> str:
    return f"{subject.namespace}/{subject.name}" if subject.kind == "ServiceAccount" else str(subject.name)


def _subjects(binding: Any, kind: str) -> str:
    return ", ".join(_subject(each) for each in binding.subjects if each.kind == kind)


ROLE_BINDING = (
    NAME,
    Column("Role", lambda obj, _: f"{obj.role_ref.kind}/{obj.role_ref.name}", "Role it gives."),
    AGE,
    Column("Users", lambda obj, _: _subjects(obj, "User"), "Users that get it.", priority=1),
    Column("Groups", lambda obj, _: _subjects(obj, "Group"), "Groups that get it.", priority=1),
    Column(
        "ServiceAccounts", lambda obj, _: _subjects(obj, "ServiceAccount"), "Service accounts that get it.", priority=1
    ),
)


def _csr_condition(csr: Any, now_s: float) -> str:
    """A denial outweighs an approval."""
    types = {each.type for each in csr.status.conditions}
    words = ["Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"]
    if "Failed" in types:
        words.append("Failed")
    if csr.status.certificate:
        words.append("Issued")
    return ",".join(words)


def _requested_duration(csr: Any, now_s: float) -> str:
    seconds = csr.spec.expiration_seconds
    return NONE if seconds is None else human_age(seconds)


CERTIFICATE_SIGNING_REQUEST = (
    NAME,
    AGE,
    Column("SignerName", lambda obj, _: obj.spec.signer_name or NONE, "Who is asked to sign."),
    Column("Requestor", lambda obj, _: obj.spec.username, "Who asks."),
    Column("RequestedDuration", _requested_duration, "How long the certificate should be good."),
    Column("Condition", _csr_condition, "Whether it is approved, denied, failed or issued."),
)
