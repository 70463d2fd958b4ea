"""`kminictl why POD`: where a pod is and why there, or why it is nowhere: every node with its reasons, and what to do.

What the scheduler would say is worked out anew, here, with the scheduler's own filters and scores from what the API
shows (the only use of controlplane by the client; filters of users count when they are installed here too). Nothing is
changed. What the scheduler itself said last is in the pod's condition PodScheduled and is shown beside it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click

from .command import Verb, verb
from .why_told import Answer, OnNode, as_json, as_text

if TYPE_CHECKING:
    from apiserver.api.core.pod import Pod
    from apiserver.client import Client
    from controlplane.scheduler.explain import Decision
    from controlplane.scheduler.filters.filter import PodVolumes
    from controlplane.scheduler.pod_info import PodInfo, Templates
    from controlplane.scheduler.snapshot import Snapshot

    from .cluster.session import Session

SYNC_TIMEOUT_S = 30.0


@click.command("why", cls=Verb)
@click.argument("pod")
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
@verb
async def why(session: Session, pod: str, output: str) -> None:
    """Say why POD is on its node, or on none: every node with its reasons, and what to do."""
    name = pod.removeprefix("pod/").removeprefix("pods/")
    answer = await explained(session.api.client, name, session.namespace)
    click.echo(as_json(answer) if output == "json" else as_text(answer))


async def explained(client: Client, name: str, namespace: str) -> Answer:
    """Raises NotFound for a pod that is not there, Forbidden when the nodes or pods may not be listed, ..."""
    from random import Random

    from apiserver.api.core.pod import Pod
    from controlplane.scheduler.explain import Decider, message
    from controlplane.scheduler.pod_info import Templates
    from controlplane.scheduler.profile import default_profile
    from controlplane.scheduler.snapshot import Snapshot

    pod = await client.get(Pod, name, namespace=namespace)
    snapshot, templates = Snapshot(), Templates()
    info = templates.pod_info(pod)
    await _read(client, snapshot, templates, without=info.uid)
    pending = info.on("", assumed=False)  # as if it were decided now
    decider, volumes = Decider(snapshot, default_profile(), Random(0)), await _volumes(client, pod)
    decision = decider.decide(pending, volumes=volumes, explain=True)
    event = "" if decision.node else message(decider.decide(pending, volumes=volumes))
    return Answer(
        pod=info.key,
        node=info.node_name,
        phase=pod.status.phase,
        finished=info.finished,
        terminating=info.terminating,
        gates=list(info.gates),
        scheduler=info.scheduler_name,
        said=_said(pod),
        message=event,
        everywhere=decision.refused.message if decision.refused is not None else "",
        nodes=_nodes(snapshot, decision),
        filters=sorted({reason.filter for reason in decision.all_reasons}),
        best=decision.node or "",
        parts=dict(decision.by_score),
    )


def _nodes(snapshot: Snapshot, decision: Decision) -> list[OnNode]:
    found = []
    for name in sorted(snapshot.names):
        reasons = [reason.message for reason in decision.reasons.get(name, ())]
        fits = not reasons and decision.refused is None
        found.append(OnNode(name=name, fits=fits, reasons=reasons, score=decision.scores.get(name)))
    return found


def _said(pod: Pod) -> str:
    """What the scheduler said last of a pod that waits."""
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"{condition.reason}: {condition.message}" if condition.message else condition.reason
    return ""


async def _read(client: Client, snapshot: Snapshot, templates: Templates, *, without: str) -> None:
    """All nodes, namespaces and pods, without the one that is asked about."""
    from apiserver.api.core.namespace import Namespace
    from apiserver.api.core.node import Node
    from apiserver.api.core.pod import Pod

    async for node in client.list(Node):
        snapshot.set_node(node)
    async for namespace in client.list(Namespace):
        snapshot.set_namespace(namespace.metadata.name, namespace.metadata.labels)
    async for pod in client.list(Pod):
        info: PodInfo = templates.pod_info(pod)
        if info.placed and info.uid != without:
            snapshot.add_pod(info)


async def _volumes(client: Client, pod: Pod) -> PodVolumes | None:
    """Its claims as the scheduler looks at them; None for a pod without."""
    from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
    from apiserver.api.storage import StorageClass
    from apiserver.client import Informer
    from controlplane.scheduler.volumes import Volumes, claim_names

    if not claim_names(pod):
        return None
    claims = Informer(client, PersistentVolumeClaim, namespace=pod.metadata.namespace)
    volumes, classes = Informer(client, PersistentVolume), Informer(client, StorageClass)
    informers: tuple[Any, ...] = (claims, volumes, classes)
    async with AsyncExitStack() as stack:
        for informer in informers:
            await stack.enter_async_context(informer)
        for informer in informers:
            await informer.wait_for_sync(timeout_s=SYNC_TIMEOUT_S)
        return Volumes(*informers).of(pod)
