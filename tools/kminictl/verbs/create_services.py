"""`create service clusterip|nodeport|loadbalancer|externalname`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verbs, verb
from ..failures import CommandError
from .creating import generated, generator

if TYPE_CHECKING:
    from ..cluster.session import Session


@click.group("service", cls=Verbs)
def service() -> None:
    """Create a Service."""


def _service(name: str, type_: str, tcp: tuple[str, ...], node_port: int = 0) -> dict[str, Any]:
    labels = {"app": name}
    spec: dict[str, Any] = {"type": type_, "selector": labels}
    ports = [_port(each, node_port) for text in tcp for each in text.split(",")]
    if ports:
        spec["ports"] = ports
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"loadBalancer": {}},
    }


def _port(text: str, node_port: int) -> dict[str, Any]:
    """`80` or `80:8080`."""
    port, colon, target = text.partition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise CommandError(f"{text} is no port: 80 or 80:8080 is needed")
    made: dict[str, Any] = {
        "name": text.replace(":", "-"),
        "protocol": "TCP",
        "port": int(port),
        "targetPort": (int(target) if target.isdigit() else target) if colon else int(port),
    }
    return made | ({"nodePort": node_port} if node_port else {})


_tcp = click.option("--tcp", multiple=True, help="PORT or PORT:TARGET.")


def _needs(tcp: tuple[str, ...]) -> None:
    if not tcp:
        raise CommandError("at least one tcp port specifier must be provided")


@service.command("clusterip")
@click.argument("name")
@_tcp
@click.option("--clusterip", default="", help="The address, or None for a headless service.")
@generator
@verb
async def cluster_ip(session: Session, name: str, tcp: tuple[str, ...], clusterip: str, **settings: Any) -> None:
    """Create a Service with an address inside the cluster."""
    if clusterip != "None":
        _needs(tcp)
    obj = _service(name, "ClusterIP", tcp)
    if clusterip:
        obj["spec"]["clusterIP"] = clusterip
    await generated(session, "ClusterIP service", obj, settings)


@service.command("nodeport")
@click.argument("name")
@_tcp
@click.option("--node-port", default=0, help="Port of the nodes.")
@generator
@verb
async def node_port(session: Session, name: str, tcp: tuple[str, ...], node_port: int, **settings: Any) -> None:
    """Create a Service on a port of every node."""
    _needs(tcp)
    await generated(session, "NodePort service", _service(name, "NodePort", tcp, node_port), settings)


@service.command("loadbalancer")
@click.argument("name")
@_tcp
@generator
@verb
async def load_balancer(session: Session, name: str, tcp: tuple[str, ...], **settings: Any) -> None:
    """Create a Service behind a load balancer."""
    _needs(tcp)
    await generated(session, "LoadBalancer service", _service(name, "LoadBalancer", tcp), settings)


@service.command("externalname")
@click.argument("name")
@_tcp
@click.option("--external-name", required=True, help="The name outside.")
@generator
@verb
async def external_name(session: Session, name: str, tcp: tuple[str, ...], external_name: str, **settings: Any) -> None:
    """Create a Service that is a name outside of the cluster."""
    obj = _service(name, "ExternalName", tcp)
    obj["spec"]["externalName"] = external_name
    await generated(session, "ExternalName service", obj, settings)
