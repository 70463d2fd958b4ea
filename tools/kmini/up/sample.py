"""The sample: a Deployment `hello` of two replicas behind a Service, and whether they answer over it.

It is made when it is not there, and never written again: who changed it keeps the change. Which pods answered is what
they said themselves, through the Service's address; no status is believed for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from apiserver.api.apps import Deployment
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.errors import AlreadyExists
from apiserver.client import Client

from ..images.sample import PORT, SAMPLE

NAMESPACE = "default"
NAME = "hello"
REPLICAS = 2
ASK_WITHIN_S = 1.0
ASKED_PER_REPLICA = 8  # which endpoint a connection gets is chance
_ANSWER_BYTES_MAX = 64 * 1024
LABELS = {"app": NAME}
DEPLOYMENT_PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
SERVICE_PATH = f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}"

DEPLOYMENT: dict[str, Any] = {
    "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": LABELS},
    "spec": {
        "replicas": REPLICAS,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "containers": [
                    {
                        "name": NAME,
                        "image": SAMPLE,
                        "imagePullPolicy": "IfNotPresent",
                        "ports": [{"name": "http", "containerPort": PORT}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 2},
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    }
                ]
            },
        },
    },
}
SERVICE: dict[str, Any] = {
    "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": LABELS},
    "spec": {"selector": LABELS, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
}


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """As it is in the API. `address`: host:port of its Service; `replicas`: how many are wished for; `changed`: by
    somebody, so that it need not answer as the sample does."""

    address: str
    replicas: int
    changed: bool

    @property
    def url(self) -> str:
        return f"http://{self.address.removesuffix(':80')}/"


async def apply(client: Client) -> tuple[Sample, list[str]]:
    """Make what is not there, and say what was made. Raises ApiError."""
    made = []
    for what, obj in (("Deployment", Deployment), ("Service", Service)):
        content = DEPLOYMENT if obj is Deployment else SERVICE
        with suppress(AlreadyExists):
            await client.create(msgspec.convert(content, obj))
            made.append(what)
    return await find(client), made


async def find(client: Client) -> Sample:
    """Raises ApiError: NotFound when there is none."""
    deployment = await client.get(Deployment, NAME, namespace=NAMESPACE)
    return sample_of(deployment, await client.get(Service, NAME, namespace=NAMESPACE))


def sample_of(deployment: Deployment, service: Service) -> Sample:
    images = [each.image for each in deployment.spec.template.spec.containers]
    port = service.spec.ports[0].port if service.spec.ports else 0
    return Sample(
        address=f"{service.spec.cluster_ip}:{port}",
        replicas=REPLICAS if deployment.spec.replicas is None else deployment.spec.replicas,
        changed=images != [SAMPLE] or service.spec.selector != LABELS or not port,
    )


def ready_names(pods: Iterable[Pod]) -> set[str]:
    """Those that serve."""
    return {
        pod.metadata.name
        for pod in pods
        if pod.metadata.deletion_timestamp is None
        and any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
    }


def what_stands_in_the_way(pod: Pod) -> str:
    """Why a pod is not ready, in the API's words."""
    conditions = {each.type: each for each in pod.status.conditions}
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return f"{pod.metadata.name} has no node: {scheduled.message}"
    for status in pod.status.container_statuses:
        waiting = status.state.waiting if status.state is not None else None
        if waiting is not None:
            return f"{pod.metadata.name} waits: {waiting.reason} {waiting.message}".rstrip()
    return f"{pod.metadata.name} is {pod.status.phase or 'Pending'}"


async def ask(address: str) -> str:
    """What the Service answers on `/`: the name of a pod. Raises OSError, TimeoutError."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(ASK_WITHIN_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET / HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode())
            answer = await reader.read(_ANSWER_BYTES_MAX)
            while piece := await reader.read(_ANSWER_BYTES_MAX - len(answer)):
                answer += piece
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    return _body(answer)


async def ask_often(address: str, *, replicas: int) -> tuple[set[str], str]:
    """Who answers to several questions, and why the last one that got no answer got none."""
    answered: set[str] = set()
    for _ in range(replicas * ASKED_PER_REPLICA):
        try:
            answered.add(await ask(address))
        except TimeoutError:
            return answered, f"not within {ASK_WITHIN_S:g} s"
        except OSError as error:
            return answered, error.strerror or str(error)
        if len(answered) >= replicas:
            break
    return answered, ""


def _body(answer: bytes) -> str:
    """Raises OSError."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.") or head[9:12] != b"200":
        raise OSError(0, f"it answered {head[:60]!r}")
    return body.decode("utf-8", "replace").strip()
