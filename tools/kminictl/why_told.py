"""The answer of `kminictl why` as people and programs read it. Pure; what it says is worked out in why.py."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

DEFAULT_SCHEDULER = "default-scheduler"

#: What may be done about a filter's reasons, by its name.
ADVICE = {
    "NodeUnschedulable": "Let the nodes take pods again: kubectl uncordon NODE.",
    "NodeName": "The pod names its node (spec.nodeName): it goes there or nowhere.",
    "TaintToleration": "Take the taint off (kubectl taint nodes NODE KEY-), or tolerate it in spec.tolerations.",
    "NodeAffinity": "Label a node (kubectl label node NODE KEY=VALUE), or ask for less in nodeSelector and affinity.",
    "NodePorts": "Another pod has the host port: use another one, a Service instead, or fewer replicas than nodes.",
    "NodeResourcesFit": "Ask for less (resources.requests), let other pods go, or add a node.",
    "VolumeBinding": "Look at the claims: kubectl get pvc,pv,storageclass; kubectl describe pvc CLAIM.",
    "PodTopologySpread": "Add nodes where pods are few, or raise maxSkew, or wish only (ScheduleAnyway).",
    "InterPodAffinity": "Look at podAffinity and podAntiAffinity, the pod's and those of the pods that are there.",
}


class OnNode(msgspec.Struct, kw_only=True):
    """What one node would do with the pod. `score` only where it fits; the highest wins."""

    name: str
    fits: bool
    reasons: list[str] = []
    score: int | None = None


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why a pod is where it is.

    pod: namespace/name. node: where it is; "" for nowhere. said: what the scheduler said last, of one that waits.
    message: why no node would take it if it were decided now, in the words of its events; "" when some would.
    everywhere: what is in the way whatever the node. best, parts: the node that would win, and its scores by name.
    filters: those that speak against some node.
    """

    pod: str
    node: str = ""
    phase: str = ""
    finished: bool = False
    terminating: bool = False
    gates: list[str] = []
    scheduler: str = ""
    said: str = ""
    message: str = ""
    everywhere: str = ""
    nodes: list[OnNode] = []
    filters: list[str] = []
    best: str = ""
    parts: dict[str, int] = {}


def advice(answer: Answer) -> list[str]:
    """What to do so that a pod that waits gets a node; nothing for one that does not wait."""
    if answer.node or answer.finished or answer.terminating:
        return []
    if answer.gates:
        return [f"Take away its scheduling gates ({', '.join(answer.gates)}) once what they wait for has happened."]
    if answer.scheduler not in ("", DEFAULT_SCHEDULER):
        return [f"It names the scheduler {answer.scheduler}: see whether that one runs."]
    if answer.best:
        return [
            "The scheduler should place it in a moment. If it does not, see whether there is a leader: "
            "kubectl -n kube-system get lease."
        ]
    if not answer.nodes:
        return [
            "Let a node join: kmini token create --role agent, then kmini agent --server URL --token-file FILE there."
        ]
    return [ADVICE[name] for name in ADVICE if name in answer.filters] + [
        f"Ask whoever installed the filter {name}." for name in answer.filters if name not in ADVICE
    ]


def as_json(answer: Answer) -> str:
    """One object; `advice` is a list of sentences."""
    told = msgspec.to_builtins(answer) | {"advice": advice(answer)}
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()


def as_text(answer: Answer) -> str:
    return "\n".join(_lines(answer))


def _lines(answer: Answer) -> Iterator[str]:
    yield _where(answer)
    if answer.said and not answer.node:
        yield f"The scheduler said: {answer.said}"
    if answer.finished:
        return
    if answer.everywhere:
        yield f"In the way on every node: {answer.everywhere}"
    elif answer.nodes:
        yield ""
        yield "If it were decided anew now:" if answer.node else "Node by node:"
        yield from _table(answer)
    if answer.parts:
        parts = ", ".join(f"{name} {number}" for name, number in sorted(answer.parts.items()) if number)
        yield f"{answer.best} would win{f' by {parts}' if parts else ''}."
    todo = advice(answer)
    if todo:
        yield ""
        yield "What to do:"
        yield from (f"- {sentence}" for sentence in todo)


def _where(answer: Answer) -> str:
    if answer.finished:
        return f"Pod {answer.pod} has ended ({answer.phase}){f' on node {answer.node}' if answer.node else ''}."
    ending = ", and is being deleted" if answer.terminating else ""
    if answer.node:
        return f"Pod {answer.pod} is on node {answer.node} ({answer.phase or 'Pending'}){ending}."
    if answer.gates:
        return f"Pod {answer.pod} is on no node{ending}: it has scheduling gates ({', '.join(answer.gates)})."
    if not answer.nodes:
        return f"Pod {answer.pod} is on no node{ending}: there are none."
    return f"Pod {answer.pod} is on no node{ending}{f': {answer.message}' if answer.message else '.'}"


def _table(answer: Answer) -> Iterator[str]:
    rows = [("NODE", "FITS", "SCORE", "WHY NOT")]
    for each in answer.nodes:
        mark = "*" if each.name == answer.node else ""
        score = "" if each.score is None else str(each.score)
        rows.append((f"{each.name}{mark}", "yes" if each.fits else "no", score, "; ".join(each.reasons)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
        yield "   ".join((*cells, row[3])).rstrip()
