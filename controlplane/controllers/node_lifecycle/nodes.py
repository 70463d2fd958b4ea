"""One node made to say what it is: its conditions when it is silent, its taints, its pods' readiness.

Everything is written upon the version that was looked at: who was faster wins, and we look again.
"""

from __future__ import annotations

from apiserver.api.core.node import Node, Taint
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError, Fenced
from controlplane.controllers.status_writes import write_pod_status
from controlplane.controllers.writes import guarded
from controlplane.runtime import DONE, Context, Request, Result
from controlplane.runtime.caches import BY_NODE

from .conditions import (
    UNKNOWN,
    is_ready,
    is_said_ready,
    readiness,
    ready_condition,
    when_node_not_ready,
    when_silent,
)
from .health import Health
from .taints import is_lifecycle, no_execute_key, no_schedule_keys, with_taints
from .zones import zone_of

COMPONENT = "node-controller"


class NodeKeeper:
    """A Reconciler of nodes."""

    def __init__(self, context: Context, health: Health) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder
        self._nodes = context.caches.nodes.cache
        self._pods = context.caches.pods.cache
        self._health = health
        #: Nodes whose pods were told, with what was told: an agent that is there may say otherwise after that.
        self._told: dict[str, tuple[str, str | None]] = {}
        self._tainted = context.metrics.counter(
            "node_collector_evictions", "Nodes from which pods began to be driven away", ("zone",)
        )

    def has_work(self, node: Node) -> bool:
        """By what is known; `reconcile` finds nothing to do when this says no."""
        if self._is_due_as_silent(node):
            return True
        key, new = self._no_execute(node)
        return new or self._taints(node, key) is not None or bool(self._pods_to_tell(node))

    async def reconcile(self, request: Request) -> Result:
        node = self._nodes.get(request.name)
        if node is None:
            self._told.pop(request.name, None)
            return DONE
        if node.metadata.deletion_timestamp is not None:
            return DONE
        if self._is_due_as_silent(node) and await self._health.is_lost(node):
            node = await self._say_unknown(node)
        node = await self._write_taints(node)
        await self._tell_pods(node)
        return DONE

    # --- a node that is silent ------------------------------------------------------------------------

    def _is_due_as_silent(self, node: Node) -> bool:
        return readiness(node) != UNKNOWN and self._health.seems_lost(node)

    async def _say_unknown(self, node: Node) -> Node:
        conditions = when_silent(node, self._clock.now_text())
        if conditions is None:
            return node
        patch = guarded(node, status={"conditions": conditions})
        return await self._client.patch(Node, node.metadata.name, patch, subresource="status")

    # --- taints ---------------------------------------------------------------------------------------

    def _no_execute(self, node: Node) -> tuple[str, bool]:
        """The key of the taint that drives pods away, and whether that is a new decision. A key that is there already
        follows the state of the node."""
        key = "" if self._health.zones.disrupted else no_execute_key(node)
        return key, bool(key) and not any(is_lifecycle(each) for each in node.spec.taints)

    def _taints(self, node: Node, no_execute: str) -> list[Taint] | None:
        return with_taints(
            node.spec.taints,
            no_schedule=no_schedule_keys(node),
            no_execute=no_execute,
            now=self._clock.now_text(),
        )

    async def _write_taints(self, node: Node) -> Node:
        key, new = self._no_execute(node)
        if new and not (await self._health.may_drive_away(node) and self._health.zones.may_give_up(node)):
            key, new = "", False
        taints = self._taints(node, key)
        if taints is None:
            return node
        patch = guarded(node, spec={"taints": taints})
        node = await self._client.patch(Node, node.metadata.name, patch)
        if new:
            self._tainted.labels(zone_of(node)).inc()
        return node

    # --- pods of a node that is not ready -------------------------------------------------------------

    def _pods_to_tell(self, node: Node) -> list[Pod]:
        """Those that are said to be ready, though their node is not. While its agent is there it has the last word:
        then they are told once for each time that the node became not ready."""
        if is_ready(node):
            return []
        if readiness(node) != UNKNOWN and self._told.get(node.metadata.name) == _state(node):
            return []
        pods = self._pods.by_index(BY_NODE, node.metadata.name)
        return [pod for pod in pods if is_said_ready(pod)]

    async def _tell_pods(self, node: Node) -> None:
        """Raises the last failure, once all were told that could be."""
        failure: ApiError | None = None
        for pod in self._pods_to_tell(node):
            conditions = when_node_not_ready(pod, self._clock.now_text())
            if conditions is None:
                continue
            try:
                await write_pod_status(self._client, pod, conditions=conditions)
            except Fenced:
                raise
            except ApiError as error:
                failure = error
                continue
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready", component=COMPONENT)
        if failure is not None:
            raise failure
        if is_ready(node):
            self._told.pop(node.metadata.name, None)
        else:
            self._told[node.metadata.name] = _state(node)


def _state(node: Node) -> tuple[str, str | None]:
    condition = ready_condition(node)
    return node.metadata.uid, condition.last_transition_time if condition else None
