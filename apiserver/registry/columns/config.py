"""Columns of small kinds: namespaces, config maps, secrets, service accounts, leases, priority classes."""

from __future__ import annotations

from typing import Any

from apiserver.registry.resource import Column

from .cells import AGE, NAME


def _config_map_data(obj: Any, now_s: float) -> int:
    return len(obj.data or {}) + len(obj.binary_data or {})


NAMESPACE = (NAME, Column("Status", lambda obj, _: obj.status.phase, "Active or Terminating."), AGE)

CONFIG_MAP = (NAME, Column("Data", _config_map_data, "How many keys it has."), AGE)

SECRET = (
    NAME,
    Column("Type", lambda obj, _: obj.type, "What the secret is for."),
    Column("Data", lambda obj, _: len(obj.data or {}), "How many keys it has."),
    AGE,
)

SERVICE_ACCOUNT = (NAME, Column("Secrets", lambda obj, _: len(obj.secrets or ()), "How many secrets it names."), AGE)

LEASE = (NAME, Column("Holder", lambda obj, _: obj.spec.holder_identity or "", "Who holds it."), AGE)

PRIORITY_CLASS = (
    NAME,
    Column("Value", lambda obj, _: obj.value, "Priority of its pods; the higher goes first.", type="integer"),
    Column(
        "Global-Default",
        lambda obj, _: bool(obj.global_default),
        "Whether pods without a class get this one.",
        type="boolean",
    ),
    AGE,
    Column("PreemptionPolicy", lambda obj, _: obj.preemption_policy or "", "Whether its pods may evict others."),
)
