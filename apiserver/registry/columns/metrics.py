"""Columns of what nodes and pods use: those of Kubernetes' metrics-server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apiserver.api.quantity import Form, Quantity, parse
from apiserver.registry.resource import Column

from .cells import NAME


def _sum(usages: Iterable[Mapping[str, str]], resource: str, form: Form) -> str:
    return str(Quantity(sum(parse(each.get(resource, "0")).nano for each in usages), form))


def _columns(usages: Any) -> tuple[Column, ...]:
    return (
        NAME,
        Column("cpu", lambda obj, _: _sum(usages(obj), "cpu", Form.DECIMAL), "CPU that it uses."),
        Column("memory", lambda obj, _: _sum(usages(obj), "memory", Form.BINARY), "Memory that it uses."),
        Column("window", lambda obj, _: obj.window, "Over how long CPU was measured."),
    )


NODE_METRICS = _columns(lambda obj: [obj.usage])
POD_METRICS = _columns(lambda obj: [each.usage for each in obj.containers])
