"""`kminictl top`: what nodes and pods use (metrics.k8s.io), and how the replicas of the control plane stand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, Verbs, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from apiserver.api.kinds import Kind

    from ..cluster.session import Session

JsonObject = dict[str, Any]
MEBI = 1 << 20


@click.group("top", cls=Verbs)
def top() -> None:
    """Show what nodes, pods and replicas use."""


async def _metrics(session: Session, plural: str) -> Kind:
    resource = (await session.catalogue()).lookup(f"{plural}.metrics.k8s.io")
    if resource is None or resource.kind.group != "metrics.k8s.io":
        raise CommandError("Metrics API not available")
    return resource.kind


def usage(amounts: dict[str, str]) -> tuple[int, int]:
    """Thousandths of a core, and bytes."""
    from apiserver.api.quantity import milli_value, value

    return milli_value(amounts.get("cpu", "0")), value(amounts.get("memory", "0"))


def _total(metrics: JsonObject) -> tuple[int, int]:
    found = [usage(each.get("usage") or {}) for each in metrics.get("containers") or []]
    return sum(cpu for cpu, _ in found), sum(memory for _, memory in found)


def _order(sort_by: str) -> int | None:
    """Which of the two counts; None: names."""
    if sort_by not in ("", "cpu", "memory"):
        raise CommandError("--sort-by accepts only cpu or memory")
    return {"cpu": 0, "memory": 1}.get(sort_by)


def _sorted(
    rows: list[tuple[str, tuple[int, int], JsonObject]], sort_by: str
) -> list[tuple[str, tuple[int, int], JsonObject]]:
    which = _order(sort_by)
    return sorted(rows, key=lambda row: (-row[1][which] if which is not None else 0, row[0]))


@top.command("node", cls=Verb)
@click.argument("name", required=False)
@take.selector
@switch("--no-headers")
@click.option("--sort-by", default="", help="cpu or memory.")
@switch("--show-capacity", help="As a share of the capacity, not of what pods may have.")
@switch("--use-protocol-buffers", hidden=True)
@verb
async def node(session: Session, name: str | None, labels: str, sort_by: str, **given: Any) -> None:
    """Show what nodes use."""
    from ..output.tabwriter import PaddedColumns

    kind = await _metrics(session, "nodes")
    nodes = (await session.catalogue()).find("nodes").kind
    if name:
        found, known = [await session.api.get(kind, name, None)], [await session.api.get(nodes, name, None)]
    else:
        found = await session.api.list_(kind, None, labels=labels)
        known = await session.api.list_(nodes, None, labels=labels)
    if not found:
        raise CommandError("metrics not available yet")
    field = "capacity" if given["show_capacity"] else "allocatable"
    there = {each["metadata"]["name"]: (each.get("status") or {}).get(field) or {} for each in known}
    columns = PaddedColumns()
    if not given["no_headers"]:
        columns.add(["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"])
    rows = [(each["metadata"]["name"], usage(each.get("usage") or {}), each) for each in found]
    for each_name, (cpu, memory), _ in _sorted(rows, sort_by):
        cores, bytes_ = usage(there.pop(each_name, {}))
        shares = [
            f"{int(cpu / cores * 100)}%" if cores else "<unknown>",
            f"{int(memory / bytes_ * 100)}%" if bytes_ else "<unknown>",
        ]
        columns.add([each_name, f"{cpu}m", shares[0], f"{memory // MEBI}Mi", shares[1]])
    for each_name in sorted(there):
        columns.add([each_name, *["<unknown>"] * 4])
    sys.stdout.write(columns.flush())


@top.command("pod", cls=Verb)
@click.argument("name", required=False)
@take.selector
@take.field_selector
@take.all_namespaces
@switch("--containers", help="Each container of the pods.")
@switch("--no-headers")
@switch("--sum", "summed", help="With the sum of all.")
@click.option("--sort-by", default="", help="cpu or memory.")
@switch("--use-protocol-buffers", hidden=True)
@verb
async def pod(
    session: Session, name: str | None, labels: str, fields: str, all_namespaces: bool, sort_by: str, **given: Any
) -> None:
    """Show what pods use."""
    from ..output.tabwriter import PaddedColumns

    kind = await _metrics(session, "pods")
    namespace = None if all_namespaces else session.namespace
    if name:
        found = [await session.api.get(kind, name, session.namespace)]
    else:
        found = await session.api.list_(kind, namespace, labels=labels, fields=fields)
    if not found:
        session.tell("No resources found" + ("" if all_namespaces else f" in {session.namespace} namespace."))
        return
    columns = PaddedColumns()
    first = ["NAMESPACE"] * all_namespaces
    if not given["no_headers"]:
        columns.add([*first, *(["POD"] if given["containers"] else []), "NAME", "CPU(cores)", "MEMORY(bytes)"])
    rows = [(each["metadata"]["name"], _total(each), each) for each in found]
    for each_name, amounts, each in _sorted(rows, sort_by):
        place = [each["metadata"].get("namespace", "")] * all_namespaces
        if given["containers"]:
            for container in each.get("containers") or []:
                cells = _cells(usage(container.get("usage") or {}))
                columns.add([*place, each_name, container["name"], *cells])
        else:
            columns.add([*place, each_name, *_cells(amounts)])
    if given["summed"]:
        total = sum(row[1][0] for row in rows), sum(row[1][1] for row in rows)
        blank = [""] * (len(first) + given["containers"])
        columns.add([*blank, "", "________", "________"])
        columns.add([*blank, "", *_cells(total)])
    sys.stdout.write(columns.flush())


def _cells(amounts: tuple[int, int]) -> list[str]:
    return [f"{amounts[0]}m", f"{amounts[1] // MEBI}Mi"]


top.add_command(node, "nodes")
top.add_command(node, "no")
top.add_command(pod, "pods")
top.add_command(pod, "po")


@top.command("raft", cls=Verb)
@click.option("--endpoints", default="", help="etcd faces of replicas: HOST:PORT,...")
@verb
async def raft(session: Session, endpoints: str) -> None:
    """Show how far each replica is, and how much it keeps."""
    from .raft import print_usage

    await print_usage(session, endpoints)
