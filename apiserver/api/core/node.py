"""core/v1 Node: a machine that runs pods."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Int32, Int64, Object, ResourceList, Time, always, merge_by, merge_values
from apiserver.api.meta import TopObject


class Taint(Object):
    """Keeps pods away that do not tolerate it.

    key: Name of the taint.
    value: Value that goes with the key.
    effect: NoSchedule, PreferNoSchedule or NoExecute.
    time_added: When a NoExecute taint was added.
    """

    key: str = always("")
    value: str = ""
    effect: str = always("")
    time_added: Time | None = None


class ConfigMapNodeConfigSource(Object):
    """A ConfigMap that configured the node's agent; of no effect.

    namespace: Namespace of the ConfigMap.
    name: Name of the ConfigMap.
    uid: UID of the ConfigMap.
    resource_version: Resource version of the ConfigMap.
    kubelet_config_key: Key in the ConfigMap.
    """

    namespace: str = always("")
    name: str = always("")
    uid: str = ""
    resource_version: str = ""
    kubelet_config_key: str = always("")


class NodeConfigSource(Object):
    """Where the configuration of the node's agent came from; of no effect.

    config_map: The ConfigMap.
    """

    config_map: ConfigMapNodeConfigSource | None = None


class NodeSpec(Object):
    """The wish: addresses for pods, and which pods may come.

    pod_cidr: Network from which pods get addresses.
    pod_cidrs: The same per IP family; the first is podCIDR.
    provider_id: Name the machine has at whoever provides it.
    unschedulable: True lets no new pods come.
    taints: What keeps pods away that do not tolerate it.
    config_source: Of no effect.
    external_id: Of no effect.
    """

    pod_cidr: str = ""
    pod_cidrs: Annotated[list[str], merge_values()] = []
    provider_id: str = ""
    unschedulable: bool = False
    taints: list[Taint] = []
    config_source: NodeConfigSource | None = None
    external_id: str = ""


class NodeCondition(Object):
    """One aspect of a node's health.

    type: Name of the aspect, as in Ready.
    status: True, False or Unknown.
    last_heartbeat_time: When the node reported last.
    last_transition_time: When the status changed last.
    reason: One word for programs.
    message: A sentence for people.
    """

    type: str = always("")
    status: str = always("")
    last_heartbeat_time: Time | None = None
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class NodeAddress(Object):
    """An address of the node.

    type: Hostname, InternalIP, ExternalIP, InternalDNS or ExternalDNS.
    address: The address.
    """

    type: str = always("")
    address: str = always("")


class DaemonEndpoint(Object):
    """A port of a daemon.

    port: Number of the port.
    """

    port: Int32 = msgspec.field(default_factory=lambda: 0, name="Port")


class NodeDaemonEndpoints(Object):
    """Where the node's daemons listen.

    kubelet_endpoint: Where the node's agent listens.
    """

    kubelet_endpoint: DaemonEndpoint = msgspec.field(default_factory=DaemonEndpoint)


class NodeSwapStatus(Object):
    """Swap of the node.

    capacity: Bytes of swap in all.
    """

    capacity: Int64 | None = None


class NodeSystemInfo(Object):
    """What the node is and runs.

    machine_id: Id of the machine, as in /etc/machine-id.
    system_uuid: UUID of the machine.
    boot_id: Id of this boot.
    kernel_version: Version of the kernel.
    os_image: Name of the operating system's release.
    container_runtime_version: Container runtime and its version, as in containerd://2.0.0.
    kubelet_version: Version of the node's agent.
    kube_proxy_version: Not set any more.
    operating_system: As in linux.
    architecture: As in amd64.
    swap: Swap of the node.
    """

    machine_id: str = always("")
    system_uuid: str = always("")
    boot_id: str = always("")
    kernel_version: str = always("")
    os_image: str = always("")
    container_runtime_version: str = always("")
    kubelet_version: str = always("")
    kube_proxy_version: str = always("")
    operating_system: str = always("")
    architecture: str = always("")
    swap: NodeSwapStatus | None = None


class ContainerImage(Object):
    """An image that is on the node.

    names: Names the image is known by.
    size_bytes: Bytes the image takes.
    """

    names: list[str] = always([])
    size_bytes: Int64 = 0


class AttachedVolume(Object):
    """A volume that is attached to the node.

    name: Name of the volume.
    device_path: Where its device is.
    """

    name: str = always("")
    device_path: str = always("")


class NodeConfigStatus(Object):
    """What became of spec.configSource; of no effect.

    assigned: Configuration that was asked for.
    active: Configuration in use.
    last_known_good: Configuration that worked.
    error: Why it does not work.
    """

    assigned: NodeConfigSource | None = None
    active: NodeConfigSource | None = None
    last_known_good: NodeConfigSource | None = None
    error: str = ""


class NodeRuntimeHandlerFeatures(Object):
    """What a runtime handler can do.

    recursive_read_only_mounts: True when mounts can be read-only all the way down.
    user_namespaces: True when pods can have a user namespace of their own.
    """

    recursive_read_only_mounts: bool | None = None
    user_namespaces: bool | None = None


class NodeRuntimeHandler(Object):
    """A runtime handler of the node.

    name: Name of the handler; empty is the default one.
    features: What it can do.
    """

    name: str = ""
    features: NodeRuntimeHandlerFeatures | None = None


class NodeFeatures(Object):
    """What the node's runtime can do.

    supplemental_groups_policy: True when supplementalGroupsPolicy of pods works.
    """

    supplemental_groups_policy: bool | None = None


class NodeStatus(Object):
    """What the node reports.

    capacity: What the machine has.
    allocatable: What pods may use of it.
    phase: Not set any more.
    conditions: Health of the node, aspect by aspect.
    addresses: Addresses of the node.
    daemon_endpoints: Where the node's daemons listen.
    node_info: What the node is and runs.
    images: Images that are on the node.
    volumes_in_use: Volumes that pods of the node use.
    volumes_attached: Volumes that are attached to the node.
    config: Of no effect.
    runtime_handlers: Runtime handlers of the node.
    features: What the node's runtime can do.
    """

    capacity: ResourceList = {}
    allocatable: ResourceList = {}
    phase: str = ""
    conditions: Annotated[list[NodeCondition], merge_by("type")] = []
    addresses: Annotated[list[NodeAddress], merge_by("type")] = []
    daemon_endpoints: NodeDaemonEndpoints = msgspec.field(default_factory=NodeDaemonEndpoints)
    node_info: NodeSystemInfo = msgspec.field(default_factory=NodeSystemInfo)
    images: list[ContainerImage] = []
    volumes_in_use: list[str] = []
    volumes_attached: list[AttachedVolume] = []
    config: NodeConfigStatus | None = None
    runtime_handlers: list[NodeRuntimeHandler] = []
    features: NodeFeatures | None = None


class Node(TopObject):
    """A machine that runs pods.

    spec: Addresses for pods, and which pods may come.
    status: What the node reports.
    """

    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)
