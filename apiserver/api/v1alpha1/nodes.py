"""v1alpha1: Node, a machine that pods run on."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Object, ResourceList, always, merge_by
from apiserver.api.meta import TopObject


class NodeAddress(Object):
    """An address of a node.

    type: InternalIP, ExternalIP or Hostname.
    address: The address.
    """

    type: str = always("")
    address: str = always("")


class NodeSpec(Object):
    """What people decide about a node.

    unschedulable: True when no new pod may come to the node.
    """

    unschedulable: bool = False


class NodeStatus(Object):
    """What is known of a node; written by its agent.

    capacity: All that the machine has.
    allocatable: What of it is there for pods.
    addresses: Where the node can be reached.
    ready: True when the node takes pods and reports.
    """

    capacity: ResourceList = {}
    allocatable: ResourceList = {}
    addresses: Annotated[list[NodeAddress], merge_by("type")] = []
    ready: bool = False


class Node(TopObject):
    """A machine that pods run on.

    spec: What people decide about it.
    status: What is known of it.
    """

    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)
