"""Subresources that are verbs of their own: bind, evict, scale. Each is one request."""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.autoscaling import Scale
from apiserver.api.core.pod import Pod
from apiserver.api.kinds import kind_of
from apiserver.api.meta import DeleteOptions, TopObject

from . import requests
from .client import Client
from .requests import path_of
from .responses import decode_object

_POD = kind_of(Pod)


async def bind(
    client: Client, pod: str, node: str, *, namespace: str | None = None, uid: str = "", resource_version: str = ""
) -> None:
    """Give a pod to a node. Raises Conflict when it has one already, is another pod than `uid`, has changed since
    `resource_version`, or does not fit."""
    metadata = {"name": pod} | ({"uid": uid} if uid else {})
    if resource_version:
        metadata["resourceVersion"] = resource_version
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": metadata,
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    await client.send(requests.create(path_of(_POD, namespace or client.namespace, pod, "binding"), body))


async def evict(
    client: Client, pod: str, *, namespace: str | None = None, options: DeleteOptions | None = None
) -> None:
    """Delete a pod unless a disruption budget forbids it now: then raises TooManyRequests, and is not tried again."""
    body: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    if options is not None:
        body["deleteOptions"] = options
    await client.send(requests.create(path_of(_POD, namespace or client.namespace, pod, "eviction"), body))


async def get_scale(client: Client, type_: type[TopObject], name: str, *, namespace: str | None = None) -> Scale:
    raw = await client.get_raw(kind_of(type_), name, namespace=namespace, subresource="scale")
    return decode_object(raw, Scale)


async def scale(
    client: Client, type_: type[TopObject], name: str, replicas: int, *, namespace: str | None = None
) -> Scale:
    """Set the number of replicas, whatever it was."""
    path = path_of(kind_of(type_), namespace or client.namespace, name, "scale")
    request = requests.patch(path, {"spec": {"replicas": replicas}}, requests.Patch.MERGE)
    return msgspec.json.decode((await client.send(request)).body, type=Scale)
