"""`kminictl expose`: a Service for what a deployment, replica set, pod or other Service selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.session import Session


@click.command("expose", cls=Verb)
@click.argument("words", nargs=-1)
@take.files
@take.output
@take.dry_run
@click.option("--name", default="", help="Of the Service; the object's when left out.")
@click.option("--port", default="", help="Port of the Service; the containers' when left out.")
@click.option("--target-port", default="", help="Port of the pods, by number or name.")
@click.option("--protocol", default="", help="TCP, UDP or SCTP.")
@click.option("--type", "type_", default="", help="ClusterIP, NodePort, LoadBalancer, ExternalName.")
@click.option("--selector", default="", help="Labels of the pods; the object's selector when left out.")
@click.option("-l", "--labels", default="", help="Labels of the Service.")
@click.option("--cluster-ip", default="")
@click.option("--external-ip", default="")
@click.option("--external-name", default="")
@click.option("--session-affinity", default="", help="None or ClientIP.")
@click.option("--field-manager", default="kubectl-expose", hidden=True)
@verb
async def expose(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Make a Service: expose TYPE NAME --port=PORT."""
    from ..cluster.selecting import Selection, objects
    from .writing import Results, write_options

    dry_run = take.DryRun(given["dry_run"])
    results = Results(given["output"], dry_run)
    selection = Selection(words=words, files=take.split_files(given["filenames"]), recursive=given["recursive"])
    found, results.errors = await objects(session, selection, verb="expose")
    service = (await session.catalogue()).find("services").kind
    for each in found:
        try:
            made = service_for(each.object, given)
        except CommandError as error:
            results.errors.append(error)
            continue
        if not dry_run.client or session.options.namespace:
            made["metadata"]["namespace"] = each.namespace
        if not dry_run.client:
            options = write_options(dry_run, given["field_manager"])
            made = await session.api.create(service, each.namespace, made, options)
        results.done(made, "exposed")
    results.end()


_NO_SELECTOR = "couldn't retrieve selectors via --selector flag or introspection: "


def service_for(obj: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The Service as it is sent. Raises CommandError for what cannot be exposed."""
    from .creating import labels_of

    name = given["name"] or str(obj["metadata"]["name"])[:63]
    spec: dict[str, Any] = {"selector": labels_of(given["selector"]) if given["selector"] else selector_of(obj)}
    spec["ports"] = _ports(obj, given)
    for key, value in (
        ("type", given["type_"]),
        ("clusterIP", given["cluster_ip"]),
        ("externalName", given["external_name"]),
        ("sessionAffinity", given["session_affinity"]),
    ):
        if value:
            spec[key] = value
    if given["external_ip"]:
        spec["externalIPs"] = [given["external_ip"]]
    labels = labels_of(given["labels"]) if given["labels"] else obj["metadata"].get("labels") or {}
    metadata: dict[str, Any] = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}


def selector_of(obj: dict[str, Any]) -> dict[str, str]:
    """Raises CommandError."""
    kind, spec = obj["kind"], obj.get("spec") or {}
    if kind == "Pod":
        found = obj["metadata"].get("labels") or {}
        if not found:
            raise CommandError(_NO_SELECTOR + "the pod has no labels and cannot be exposed")
        return dict(found)
    if kind == "Service":
        if not spec.get("selector"):
            raise CommandError(_NO_SELECTOR + "the service has no pod selector set")
        return dict(spec["selector"])
    if kind in ("Deployment", "ReplicaSet"):
        selector = spec.get("selector") or {}
        if selector.get("matchExpressions"):
            raise CommandError(_NO_SELECTOR + 'couldn\'t convert expressions - "%v" to map-based selector format')
        return dict(selector.get("matchLabels") or {})
    raise CommandError(f"cannot expose a {kind}")


def _ports(obj: dict[str, Any], given: dict[str, Any]) -> list[dict[str, Any]]:
    found = [(port, "") for port in given["port"].split(",") if port] or ports_of(obj)
    if not found:
        raise CommandError("couldn't find port via --port flag or introspection")
    made = []
    for index, (port, protocol) in enumerate(found):
        if not port.isdigit():
            raise CommandError(f'strconv.Atoi: parsing "{port}": invalid syntax')
        target = given["target_port"] or port
        each: dict[str, Any] = {
            "protocol": given["protocol"] or protocol or "TCP",
            "port": int(port),
            "targetPort": int(target) if target.isdigit() else target,
        }
        made.append(each | ({"name": f"port-{index + 1}"} if len(found) > 1 else {}))
    return made


def ports_of(obj: dict[str, Any]) -> list[tuple[str, str]]:
    """Ports and protocols that the object's containers, or the Service, declare."""
    spec = obj.get("spec") or {}
    if obj["kind"] == "Service":
        return [(str(each["port"]), str(each.get("protocol", ""))) for each in spec.get("ports") or []]
    pod = spec if obj["kind"] == "Pod" else (spec.get("template") or {}).get("spec") or {}
    return [
        (str(port["containerPort"]), str(port.get("protocol", "")))
        for container in pod.get("containers") or []
        for port in container.get("ports") or []
    ]
