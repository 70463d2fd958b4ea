"""metrics.k8s.io/v1beta1: what nodes and pods use, made when somebody asks. `kubectl top` shows it."""

from __future__ import annotations

from .base import Object, ResourceList, Time, always
from .meta import TopObject


class ContainerMetrics(Object):
    """What one container uses.

    name: Name of the container.
    usage: CPU and memory that it uses.
    """

    name: str = always("")
    usage: ResourceList = always({})


class NodeMetrics(TopObject):
    """What a node uses.

    timestamp: When it was measured.
    window: Over how long CPU was measured before that, as in 10.5s.
    usage: CPU and memory that it uses.
    """

    timestamp: Time = always("")
    window: str = always("")
    usage: ResourceList = always({})


class PodMetrics(TopObject):
    """What the containers of a pod use.

    timestamp: When it was measured.
    window: Over how long CPU was measured before that, as in 10.5s.
    containers: Each of its containers.
    """

    timestamp: Time = always("")
    window: str = always("")
    containers: list[ContainerMetrics] = always([])
