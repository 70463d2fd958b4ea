"""How what runs here is: the server and its cluster, the node with its containerd and pods, and the sample.

Whoever cannot be asked is reported, not raised: half a cluster is when one looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from nodeagent.runtime import processes
from nodeagent.runtime.containerd_config import Layout as ContainerdLayout

from ..api import ApiFailure, api_request
from ..errors import CommandError
from ..inspection import ClusterFacts, look
from ..layout import Layout, Running, RunningAgent
from ..supervise import last_error
from . import sample

ASK_TIMEOUT_S = 5.0
_PODS = "/api/v1/pods?fieldSelector=spec.nodeName%3D"


class PodReport(msgspec.Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    phase: str
    ready: bool
    address: str


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """`pid` and `containerd` are 0 when it does not run; `containerd` is also 0 when it is not the node's own."""

    name: str
    runtime: Literal["containerd", "fake"]
    version: str
    group: str
    pid: int
    containerd: int
    ready: bool
    pods: Sequence[PodReport]
    problem: str


class SampleReport(msgspec.Struct, frozen=True, kw_only=True):
    """`answered`: who did, over the Service; a sample that is simulated, or was changed, is not asked."""

    url: str
    replicas: int
    ready: int
    answered: Sequence[str]
    problem: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    healthy: bool
    process: Running | None
    cluster: ClusterFacts | None
    node: NodeReport | None
    sample: SampleReport | None
    problems: Sequence[str]


def report(layout: Layout) -> Report:
    """Takes a few seconds when somebody does not answer. Raises CommandError when nothing is here at all."""
    running, agent = layout.running(), layout.last_agent()
    if agent is not None and agent.torn_down:
        agent = None
    if running is None and agent is None:
        raise CommandError(f"nothing runs in {layout.data_dir}")
    problems: list[str] = []
    cluster = None
    if running is None:
        problems.append(f"the server does not run: {last_error(layout.server_log, 0)}")
    else:
        try:
            cluster = look(layout, running)
        except CommandError as error:
            problems.append(str(error))
    node = None if agent is None else _node(layout, agent, asked=cluster is not None)
    found = _sample(layout, agent) if cluster is not None and node is not None and agent is not None else None
    told = [each.problem for each in (node, found) if each is not None and each.problem]
    return Report(
        healthy=cluster is not None and cluster.healthy and not problems and not told,
        process=running,
        cluster=cluster,
        node=node,
        sample=found,
        problems=[*problems, *told],
    )


def _node(layout: Layout, agent: RunningAgent, *, asked: bool) -> NodeReport:
    """`asked`: the API answers."""
    runs = layout.running_agent() is not None
    containerd = _containerd(layout) if agent.private else 0
    pods: list[PodReport] = []
    ready, problem = False, "" if asked else "the API does not answer"
    try:
        if asked:
            conditions = _get(layout, f"/api/v1/nodes/{agent.node}")["status"]["conditions"]
            condition: dict[str, Any] = next((each for each in conditions if each["type"] == "Ready"), {})
            ready = condition.get("status") == "True"
            problem = "" if ready else str(condition.get("message", "it says nothing of itself"))
            pods = [_pod(each) for each in _get(layout, _PODS + agent.node)["items"]]
    except CommandError as error:
        problem = str(error)
    if agent.private and not containerd:
        problem = "its containerd does not run"
    if not runs:
        problem = f"its agent does not run: {last_error(layout.agent_log, 0)}"
    return NodeReport(
        name=agent.node,
        runtime=agent.runtime,
        version=agent.version,
        group=agent.group,
        pid=agent.pid if runs else 0,
        containerd=containerd,
        ready=ready,
        pods=pods,
        problem=f"node {agent.node}: {problem}" if problem else "",
    )


def _containerd(layout: Layout) -> int:
    config = ContainerdLayout(layout.agent / "containerd").config
    return next((each.pid for each in processes.find(["--config", str(config)])), 0)


def _pod(pod: dict[str, Any]) -> PodReport:
    status = pod["status"]
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return PodReport(
        namespace=pod["metadata"]["namespace"],
        name=pod["metadata"]["name"],
        phase=status.get("phase", "Pending"),
        ready=conditions.get("Ready") == "True",
        address=status.get("podIP", ""),
    )


def _sample(layout: Layout, agent: RunningAgent) -> SampleReport | None:
    """None when there is none, or it is somebody's own by now."""
    from apiserver.api.apps import Deployment
    from apiserver.api.core.service import Service

    try:
        deployment = msgspec.convert(_get(layout, sample.DEPLOYMENT_PATH), Deployment)
        found = sample.sample_of(deployment, msgspec.convert(_get(layout, sample.SERVICE_PATH), Service))
    except CommandError as error:
        return None if isinstance(error, ApiFailure) else _unknown(str(error))
    if found.changed:
        return None
    ready = deployment.status.ready_replicas or 0
    problem = "" if ready >= found.replicas else f"the sample has {ready} of {found.replicas} pods that are ready"
    answered: set[str] = set()
    if not problem and found.replicas and agent.runtime == "containerd":
        answered, why = asyncio.run(sample.ask_often(found.address, replicas=found.replicas))
        problem = f"{found.url} does not answer: {why}" if why else ""
    return SampleReport(url=found.url, replicas=found.replicas, ready=ready, answered=sorted(answered), problem=problem)


def _unknown(problem: str) -> SampleReport:
    return SampleReport(url="", replicas=0, ready=0, answered=(), problem=problem)


def _get(layout: Layout, path: str) -> dict[str, Any]:
    return api_request(layout, "GET", path, timeout_s=ASK_TIMEOUT_S)


# --- for people -------------------------------------------------------------------------------------------


def as_json(found: Report) -> str:
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def as_text(found: Report) -> str:
    lines = _server_lines(found)
    if found.node is not None:
        lines += ["", *_node_lines(found.node)]
    if found.sample is not None and found.sample.url:
        answered = ", ".join(found.sample.answered) or "not asked"
        lines += [
            "",
            f"sample hello  {found.sample.ready} of {found.sample.replicas} ready, {found.sample.url} {answered}",
        ]
    problems = [*found.problems, *(found.cluster.problems if found.cluster is not None else ())]
    return "\n".join([*lines, *(f"problem: {problem}" for problem in problems)])


def _server_lines(found: Report) -> list[str]:
    running, cluster = found.process, found.cluster
    if running is None:
        return ["no server runs"]
    if cluster is None:
        return [f"{running.name}  process {running.pid}, which does not answer"]
    leader = next((member.name for member in cluster.members if member.id == cluster.leader), cluster.leader) or "none"
    lines = [
        f"{running.name}  process {running.pid}, member {cluster.member_id} of cluster {cluster.cluster_id}",
        f"leader {leader}, term {cluster.term}, revision {cluster.revision}, "
        f"{cluster.used_bytes / 1e6:.1f} MB used of {cluster.size_bytes / 1e6:.1f} MB on disk",
        "",
        f"{'NAME':<12} {'ID':<16} {'ROLE':<8} {'PEER ADDRESS':<22} {'APPLIED':>10} {'REVISION':>10}  STATE",
    ]
    for member in cluster.members:
        role = "leader" if member.leader else "learner" if member.learner else "voter"
        state = member.problem or ("ok" if member.reachable else "unreachable")
        lines.append(
            f"{member.name:<12} {member.id:<16} {role:<8} {member.peer_address:<22} "
            f"{member.applied_index:>10} {member.revision:>10}  {state}"
        )
    return lines


def _node_lines(node: NodeReport) -> list[str]:
    state = "ready" if node.ready and node.pid else "not ready"
    agent = f"agent {node.pid}" if node.pid else "no agent"
    containerd = "simulated" if node.runtime == "fake" else f"{node.version} {node.containerd or 'gone'}"
    running = sum(each.phase == "Running" for each in node.pods)
    pods = f", {running} of {len(node.pods)} pods run" if node.pods else ""
    lines = [f"node {node.name}  {state}: {agent}, {containerd}{pods}"]
    if node.pods:
        lines.append(f"{'NAMESPACE':<16} {'POD':<36} {'PHASE':<10} {'READY':<6} ADDRESS")
    for pod in node.pods:
        ready = "yes" if pod.ready else "no"
        lines.append(f"{pod.namespace:<16} {pod.name:<36} {pod.phase:<10} {ready:<6} {pod.address or '-'}")
    return lines
