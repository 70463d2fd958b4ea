"""v1alpha1: Pod and the containers it is made of."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Int32, Object, Quantity, Time, always, merge_by
from apiserver.api.meta import ObjectMeta, TopObject


class EnvVar(Object):
    """An environment variable.

    name: Name of the variable.
    value: Value; $(NAME) stands for an earlier variable and $$ for a dollar sign.
    """

    name: str = always("")
    value: str = ""


class ContainerPort(Object):
    """A port a container listens on.

    name: Name that a Service may use for the port.
    container_port: Number of the port.
    protocol: TCP (when left out), UDP or SCTP.
    """

    name: str = ""
    container_port: Int32 = always(0)
    protocol: str = ""


class Resources(Object):
    """What a node sets aside for a container.

    cpu: Processor time in cores, such as 500m for half a core.
    memory: Memory in bytes, such as 128Mi.
    """

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Container(Object):
    """One container of a pod.

    name: Name, unique in the pod.
    image: Image to run.
    command: Entry point; the image's own when empty.
    args: Arguments of the entry point.
    working_dir: Working directory; the image's own when empty.
    env: Environment variables.
    ports: Ports the container listens on.
    resources: What a node sets aside for the container.
    """

    name: str = always("")
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    env: Annotated[list[EnvVar], merge_by("name")] = []
    ports: Annotated[list[ContainerPort], merge_by("containerPort")] = []
    resources: Resources = msgspec.field(default_factory=Resources)


class PodSpec(Object):
    """What should run.

    containers: Containers that run side by side on one node.
    node_name: Node the pod is bound to; the scheduler fills it in when it is empty.
    restart_policy: Always (when left out), OnFailure or Never.
    """

    containers: Annotated[list[Container], merge_by("name")] = always([])
    node_name: str = always("")
    restart_policy: str = ""


class PodStatus(Object):
    """What is known of a pod; written by its node.

    phase: Pending, Running, Succeeded, Failed or Unknown.
    reason: One word for why the pod is in this phase.
    message: A sentence for why the pod is in this phase.
    host_ip: Address of the node.
    pod_ip: Address of the pod.
    start_time: When the node took the pod on.
    """

    phase: str = ""
    reason: str = ""
    message: str = ""
    host_ip: str = ""
    pod_ip: str = ""
    start_time: Time | None = None


class Pod(TopObject):
    """Containers that run together on one node and share an address.

    spec: What should run.
    status: What is known of it.
    """

    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class PodTemplateSpec(Object):
    """What pods are made from.

    metadata: Labels and annotations of the pods.
    spec: What should run in each of them.
    """

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
