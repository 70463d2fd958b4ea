"""core/v1: the pod, its state, its template, and the binding to a node."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Int32, Int64, Object, ResourceList, StringMap, Time, always, merge_by
from apiserver.api.meta import ObjectMeta, TopObject

from .containers import Container, EphemeralContainer, ResourceRequirements
from .references import LocalObjectReference, ObjectReference
from .scheduling import Affinity, PodSchedulingGate, Toleration, TopologySpreadConstraint
from .security import PodSecurityContext
from .volumes import Volume


class HostAlias(Object):
    """A line of the pod's hosts file.

    ip: The address.
    hostnames: Names for it.
    """

    ip: str = always("")
    hostnames: list[str] = []


class PodDNSConfigOption(Object):
    """An option of the resolver.

    name: Name of the option.
    value: Value of the option.
    """

    name: str = ""
    value: str | None = None


class PodDNSConfig(Object):
    """Resolver settings beyond those of the policy.

    nameservers: Addresses of more name servers.
    searches: More search domains.
    options: More options; they win over those of the policy.
    """

    nameservers: list[str] = []
    searches: list[str] = []
    options: list[PodDNSConfigOption] = []


class PodReadinessGate(Object):
    """A condition that must be true before the pod is ready.

    condition_type: Type of the condition.
    """

    condition_type: str = always("")


class PodOS(Object):
    """The operating system the pod is for.

    name: linux or windows.
    """

    name: str = always("")


class PodResourceClaim(Object):
    """A claim for devices that containers may refer to; exactly one of the references is set.

    name: Name, unique among the pod's claims.
    resource_claim_name: A ResourceClaim of the same namespace.
    resource_claim_template_name: A template from which a claim is made for this pod.
    """

    name: str = always("")
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class PodSpec(Object):
    """What a pod runs, where and how.

    volumes: Volumes the containers may mount.
    init_containers: Run one after another, each to its end, before the others start; sidecars stay.
    containers: Run side by side.
    ephemeral_containers: Added to look into a running pod; only through their subresource.
    restart_policy: Always (when left out), OnFailure or Never.
    termination_grace_period_seconds: Seconds the pod has to end when it is deleted; 30 when left out.
    active_deadline_seconds: Seconds after its start when the pod is stopped and marked failed.
    dns_policy: ClusterFirst (when left out), ClusterFirstWithHostNet, Default or None.
    node_selector: Labels a node must have.
    service_account_name: ServiceAccount the pod acts as.
    service_account: Old name of service_account_name.
    automount_service_account_token: Whether a token of the account is mounted; the account decides when absent.
    node_name: Node the pod runs on; empty until it is scheduled.
    host_network: True for a pod in the node's own network.
    host_pid: True when the pod sees the node's processes.
    host_ipc: True when the pod uses the node's IPC namespace.
    share_process_namespace: True when the containers see each other's processes.
    security_context: Security settings all containers inherit.
    image_pull_secrets: Secrets for pulling images.
    hostname: Name of the host inside the pod; its own name when empty.
    subdomain: Makes the full name `<hostname>.<subdomain>.<namespace>.svc.<cluster domain>`.
    affinity: Where the pod must or would like to be scheduled.
    scheduler_name: Scheduler that looks after the pod; default-scheduler when left out.
    tolerations: Taints of nodes that do not keep the pod away.
    host_aliases: Lines of the pod's hosts file.
    priority_class_name: PriorityClass of the pod.
    priority: Value of the class; set by the server.
    dns_config: Resolver settings beyond those of the policy.
    readiness_gates: Conditions that must be true before the pod is ready.
    runtime_class_name: RuntimeClass that runs the pod.
    enable_service_links: Whether variables tell of the namespace's Services; true when left out.
    preemption_policy: Never or PreemptLowerPriority (when left out).
    overhead: What running the pod costs beside its containers.
    topology_spread_constraints: How evenly matching pods are spread.
    set_hostname_as_fqdn: True when the host's name in the pod is the full one.
    os: Operating system the pod is for.
    host_users: False for a pod in a user namespace of its own.
    scheduling_gates: Reasons not to schedule the pod yet.
    resource_claims: Claims for devices.
    resources: What all containers together need and may use.
    """

    volumes: Annotated[list[Volume], merge_by("name", retain_keys=True)] = []
    init_containers: Annotated[list[Container], merge_by("name")] = []
    containers: Annotated[list[Container], merge_by("name")] = always([])
    ephemeral_containers: Annotated[list[EphemeralContainer], merge_by("name")] = []
    restart_policy: str = ""
    termination_grace_period_seconds: Int64 | None = None
    active_deadline_seconds: Int64 | None = None
    dns_policy: str = ""
    node_selector: StringMap = {}
    service_account_name: str = ""
    service_account: str = ""
    automount_service_account_token: bool | None = None
    node_name: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process_namespace: bool | None = None
    security_context: PodSecurityContext | None = None
    image_pull_secrets: Annotated[list[LocalObjectReference], merge_by("name")] = []
    hostname: str = ""
    subdomain: str = ""
    affinity: Affinity | None = None
    scheduler_name: str = ""
    tolerations: list[Toleration] = []
    host_aliases: Annotated[list[HostAlias], merge_by("ip")] = []
    priority_class_name: str = ""
    priority: Int32 | None = None
    dns_config: PodDNSConfig | None = None
    readiness_gates: list[PodReadinessGate] = []
    runtime_class_name: str | None = None
    enable_service_links: bool | None = None
    preemption_policy: str | None = None
    overhead: ResourceList = {}
    topology_spread_constraints: Annotated[list[TopologySpreadConstraint], merge_by("topologyKey")] = []
    set_hostname_as_fqdn: bool | None = None
    os: PodOS | None = None
    host_users: bool | None = None
    scheduling_gates: Annotated[list[PodSchedulingGate], merge_by("name")] = []
    resource_claims: Annotated[list[PodResourceClaim], merge_by("name", retain_keys=True)] = []
    resources: ResourceRequirements | None = None


class PodCondition(Object):
    """One aspect of a pod's state.

    type: Name of the aspect, such as Ready or PodScheduled.
    observed_generation: Generation the condition was worked out from.
    status: True, False or Unknown.
    last_probe_time: When it was looked at last.
    last_transition_time: When the status changed last.
    reason: One word for programs.
    message: A sentence for people.
    """

    type: str = always("")
    observed_generation: Int64 = 0
    status: str = always("")
    last_probe_time: Time | None = None
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class HostIP(Object):
    """An address of the node.

    ip: The address.
    """

    ip: str = always("")


class PodIP(Object):
    """An address of the pod.

    ip: The address.
    """

    ip: str = always("")


class ContainerStateWaiting(Object):
    """A container that has not started yet.

    reason: One word for programs.
    message: A sentence for people.
    """

    reason: str = ""
    message: str = ""


class ContainerStateRunning(Object):
    """A container that runs.

    started_at: When it started.
    """

    started_at: Time | None = None


class ContainerStateTerminated(Object):
    """A container that has ended.

    exit_code: Exit code of its first process.
    signal: Signal that ended it.
    reason: One word for programs.
    message: What the container left as its last words.
    started_at: When it started.
    finished_at: When it ended.
    container_id: ID of the container in the runtime.
    """

    exit_code: Int32 = always(0)
    signal: Int32 = 0
    reason: str = ""
    message: str = ""
    started_at: Time | None = None
    finished_at: Time | None = None
    container_id: str = ""


class ContainerState(Object):
    """State of a container; none set means waiting.

    waiting: It has not started yet.
    running: It runs.
    terminated: It has ended.
    """

    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class VolumeMountStatus(Object):
    """How a volume was mounted.

    name: Name of the mount.
    mount_path: Path in the container.
    read_only: True when nothing can be written.
    recursive_read_only: Disabled, IfPossible or Enabled: whether mounts below are read-only too.
    """

    name: str = always("")
    mount_path: str = always("")
    read_only: bool = False
    recursive_read_only: str | None = None


class LinuxContainerUser(Object):
    """Who a container's first process is.

    uid: User.
    gid: Group.
    supplemental_groups: More groups.
    """

    uid: Int64 = always(0)
    gid: Int64 = always(0)
    supplemental_groups: list[Int64] = []


class ContainerUser(Object):
    """Who a container's first process is.

    linux: On Linux.
    """

    linux: LinuxContainerUser | None = None


class ResourceHealth(Object):
    """How well a device is.

    resource_id: The device.
    health: Healthy, Unhealthy or Unknown.
    """

    resource_id: str = always("")
    health: str = ""


class ResourceStatus(Object):
    """How well the devices of a container are.

    name: Name of the resource.
    resources: Its devices.
    """

    name: str = always("")
    resources: list[ResourceHealth] = []


class ContainerStatus(Object):
    """State of one container of a pod.

    name: Name of the container.
    state: What it is doing.
    last_state: How it ended the last time.
    ready: True when its readiness probe succeeds.
    restart_count: How often it was restarted.
    image: Image it runs.
    image_id: ID of the image in the runtime.
    container_id: ID of the container in the runtime.
    started: True once it runs and its startup probe has succeeded.
    allocated_resources: What the node has set aside for it.
    resources: Requests and limits in effect.
    volume_mounts: How its volumes were mounted.
    user: Who its first process is.
    allocated_resources_status: How well its devices are.
    stop_signal: Signal that stops it.
    """

    name: str = always("")
    state: ContainerState = msgspec.field(default_factory=ContainerState)
    last_state: ContainerState = msgspec.field(default_factory=ContainerState)
    ready: bool = always(False)
    restart_count: Int32 = always(0)
    image: str = always("")
    image_id: str = always("")
    container_id: str = ""
    started: bool | None = None
    allocated_resources: ResourceList = {}
    resources: ResourceRequirements | None = None
    volume_mounts: Annotated[list[VolumeMountStatus], merge_by("mountPath")] = []
    user: ContainerUser | None = None
    allocated_resources_status: Annotated[list[ResourceStatus], merge_by("name")] = []
    stop_signal: str | None = None


class PodResourceClaimStatus(Object):
    """Which claim was made for an entry of spec.resourceClaims.

    name: Name of the entry.
    resource_claim_name: The claim.
    """

    name: str = always("")
    resource_claim_name: str | None = None


class PodStatus(Object):
    """State of a pod, as far as the cluster knows.

    observed_generation: Generation the state was worked out from.
    phase: Pending, Running, Succeeded, Failed or Unknown.
    conditions: Aspects of the state.
    message: A sentence for people.
    reason: One word for programs, such as Evicted.
    nominated_node_name: Node where room is being made for the pod.
    host_ip: First address of the node.
    host_ips: Addresses of the node.
    pod_ip: First address of the pod.
    pod_ips: Addresses of the pod, at most one of each family.
    start_time: When the node's agent took the pod on.
    init_container_statuses: State of each init container.
    container_statuses: State of each container.
    qos_class: Guaranteed, Burstable or BestEffort: who is stopped last when memory runs out.
    ephemeral_container_statuses: State of each ephemeral container.
    resize: How far a change of resources is.
    resource_claim_statuses: Which claims were made.
    """

    observed_generation: Int64 = 0
    phase: str = ""
    conditions: Annotated[list[PodCondition], merge_by("type")] = []
    message: str = ""
    reason: str = ""
    nominated_node_name: str = ""
    host_ip: str = ""
    host_ips: Annotated[list[HostIP], merge_by("ip")] = []
    pod_ip: str = ""
    pod_ips: Annotated[list[PodIP], merge_by("ip")] = []
    start_time: Time | None = None
    init_container_statuses: list[ContainerStatus] = []
    container_statuses: list[ContainerStatus] = []
    qos_class: str = ""
    ephemeral_container_statuses: list[ContainerStatus] = []
    resize: str = ""
    resource_claim_statuses: Annotated[list[PodResourceClaimStatus], merge_by("name", retain_keys=True)] = []


class Pod(TopObject):
    """One or more containers that run together on one node.

    spec: What it runs, where and how.
    status: Its state, as far as the cluster knows.
    """

    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class PodTemplateSpec(Object):
    """What pods made from it look like.

    metadata: Labels and annotations of the pods.
    spec: Spec of the pods.
    """

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class PodTemplate(TopObject):
    """A template kept as an object of its own.

    template: What pods made from it look like.
    """

    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)


class Binding(TopObject):
    """Puts a pod onto a node; metadata names the pod.

    target: The node.
    """

    target: ObjectReference = msgspec.field(default_factory=ObjectReference)
