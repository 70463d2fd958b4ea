"""What a filter is: plain functions in a table row.

A filter is one of two kinds:

- *local*: `check(template, node)` looks at the pod's template and one node alone. Its verdict is kept for all pods of
  the template until that node changes, so it must depend on nothing else. `by_pods` says that it looks at the pods on
  the node (or what they use) too, not only at what the node itself says. `concerns(template)` False: nothing to say.
- *wide*: `prepare(cycle)` looks at the whole snapshot once per decision and gives a function that judges one node, or
  rules that judge nodes by a label; None when the filter has nothing to say of this pod. It may raise `Refused` when no
  node will do, whichever.

A verdict is a tuple of reasons; empty (`FITS`) when the node will do. Functions must not change what they are given,
nor wait, nor raise anything else.

Filters of users come by the entry point group `kmini.scheduler.filters` (controlplane/scheduler/plugins.py); each
names a `Filter`, and runs after ours, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from apiserver.api.core.node import Node
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo, Template
from controlplane.scheduler.snapshot import Snapshot

from .reason import Reason, Verdict


class PodVolumes(Protocol):
    """The claims of the pod that is being decided, looked at once (controlplane/scheduler/volumes.py)."""

    @property
    def refusal(self) -> str:
        """What keeps the pod out of every node; "" when nothing does."""

    def why_not(self, node: Node) -> str:
        """Why the claims keep the pod away from this node; "" when they do not."""


class Cycle(msgspec.Struct, frozen=True):
    """One decision: the pod, and all that it is decided from. `volumes` is None for a pod without claims."""

    pod: PodInfo
    snapshot: Snapshot
    volumes: PodVolumes | None = None

    @property
    def template(self) -> Template:
        return self.pod.template


class Refused(Exception):
    """No node will do, whichever: what is in the way is not the nodes' business."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


class Rule(msgspec.Struct, frozen=True):
    """Judges nodes by the value of one label: a thousand of them at a time. `verdicts` has the node without the label
    under None; values that are not there get `otherwise`."""

    key: str
    verdicts: Mapping[str | None, Verdict]
    otherwise: Verdict

    def verdict(self, node: NodeInfo) -> Verdict:
        return self.verdicts.get(node.labels.get(self.key), self.otherwise)


#: Judges the nodes of one decision.
Check = Callable[[NodeInfo], Verdict]


def always(template: Template) -> bool:
    return True


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table; just one of `check` and `prepare` is given. `name` is Kubernetes' own where it has one."""

    name: str
    check: Callable[[Template, NodeInfo], Verdict] | None = None
    by_pods: bool = True
    concerns: Callable[[Template], bool] = always
    prepare: Callable[[Cycle], Check | Sequence[Rule] | None] | None = None

    def __post_init__(self) -> None:
        if (self.check is None) == (self.prepare is None):
            raise ValueError(f"filter {self.name} needs either check or prepare")
