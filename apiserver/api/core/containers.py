"""core/v1: what a container is made of."""

from __future__ import annotations

from typing import Annotated

import msgspec

from apiserver.api.base import Int32, Object, Quantity, ResourceList, always, merge_by

from .probes import Lifecycle, Probe
from .references import LocalObjectReference
from .security import SecurityContext


class ContainerPort(Object):
    """A port a container listens on; a port that is not named here can be reached all the same.

    name: Name that Services and probes may use for the port.
    host_port: Port of the node that leads to this one.
    container_port: Number of the port.
    protocol: TCP (when left out), UDP or SCTP.
    host_ip: Address of the node that host_port is bound to.
    """

    name: str = ""
    host_port: Int32 = 0
    container_port: Int32 = always(0)
    protocol: str = ""
    host_ip: str = ""


class ObjectFieldSelector(Object):
    """Names a field of the pod.

    api_version: Version the path is written for; v1 when left out.
    field_path: Path of the field, such as metadata.name.
    """

    api_version: str = ""
    field_path: str = always("")


class ResourceFieldSelector(Object):
    """Names a request or limit of a container.

    container_name: Container that is meant; needed in volumes.
    resource: Resource that is meant, such as limits.cpu.
    divisor: Unit of the result; 1 when it is 0.
    """

    container_name: str = ""
    resource: str = always("")
    divisor: Quantity = always("0")


class ConfigMapKeySelector(LocalObjectReference):
    """Names a key of a ConfigMap.

    name: Name of the ConfigMap.
    key: The key.
    optional: True when the container may start without it.
    """

    key: str = always("")
    optional: bool | None = None


class SecretKeySelector(LocalObjectReference):
    """Names a key of a Secret.

    name: Name of the Secret.
    key: The key.
    optional: True when the container may start without it.
    """

    key: str = always("")
    optional: bool | None = None


class EnvVarSource(Object):
    """Where the value of a variable comes from; exactly one field is set.

    field_ref: A field of the pod.
    resource_field_ref: A request or limit of the container.
    config_map_key_ref: A key of a ConfigMap.
    secret_key_ref: A key of a Secret.
    """

    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: ConfigMapKeySelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(Object):
    """An environment variable.

    name: Name of the variable.
    value: Value; $(NAME) stands for an earlier variable and $$ for a dollar sign.
    value_from: Where the value comes from instead.
    """

    name: str = always("")
    value: str = ""
    value_from: EnvVarSource | None = None


class ConfigMapEnvSource(LocalObjectReference):
    """All keys of a ConfigMap as variables.

    name: Name of the ConfigMap.
    optional: True when the container may start without it.
    """

    optional: bool | None = None


class SecretEnvSource(LocalObjectReference):
    """All keys of a Secret as variables.

    name: Name of the Secret.
    optional: True when the container may start without it.
    """

    optional: bool | None = None


class EnvFromSource(Object):
    """A set of environment variables; exactly one source is set.

    prefix: Text put before each name.
    config_map_ref: The ConfigMap to take them from.
    secret_ref: The Secret to take them from.
    """

    prefix: str = ""
    config_map_ref: ConfigMapEnvSource | None = None
    secret_ref: SecretEnvSource | None = None


class VolumeMount(Object):
    """Where a volume of the pod appears in a container.

    name: Name of the volume.
    read_only: True when the container may not write.
    recursive_read_only: Disabled, IfPossible or Enabled: whether mounts below are read-only too.
    mount_path: Path in the container; must not contain a colon.
    sub_path: Path in the volume to mount instead of its root.
    mount_propagation: None, HostToContainer or Bidirectional: how later mounts are shared with the host.
    sub_path_expr: Like sub_path, with $(NAME) for variables of the container.
    """

    name: str = always("")
    read_only: bool = False
    recursive_read_only: str | None = None
    mount_path: str = always("")
    sub_path: str = ""
    mount_propagation: str | None = None
    sub_path_expr: str = ""


class VolumeDevice(Object):
    """Where a raw block volume appears in a container.

    name: Name of the volume; it must be a claim.
    device_path: Path of the device in the container.
    """

    name: str = always("")
    device_path: str = always("")


class ResourceClaim(Object):
    """A claim of the pod that a container uses.

    name: Name of an entry in spec.resourceClaims.
    request: One request of that claim; all when empty.
    """

    name: str = always("")
    request: str = ""


class ResourceRequirements(Object):
    """How much of each resource is needed and allowed.

    limits: Most that may be used.
    requests: What is set aside; the limit when only that is given.
    claims: Claims that are used.
    """

    limits: ResourceList = {}
    requests: ResourceList = {}
    claims: list[ResourceClaim] = []


class ContainerResizePolicy(Object):
    """What happens to a container when a resource is changed while it runs.

    resource_name: Name of the resource: cpu or memory.
    restart_policy: NotRequired or RestartContainer.
    """

    resource_name: str = always("")
    restart_policy: str = always("")


class Container(Object):
    """One container of a pod.

    name: Name, unique in the pod.
    image: Image to run.
    command: Entry point; the image's own when empty. $(NAME) stands for a variable.
    args: Arguments of the entry point; the image's own when both are empty.
    working_dir: Working directory; the image's own when empty.
    ports: Ports the container listens on.
    env_from: Sets of environment variables; later ones win, env wins over all.
    env: Environment variables.
    resources: How much of each resource is needed and allowed.
    resize_policy: What happens when resources are changed while it runs.
    restart_policy: Always makes an init container a sidecar; not for other containers.
    volume_mounts: Volumes that appear in the container.
    volume_devices: Raw block volumes that appear in the container.
    liveness_probe: The container is restarted when this fails.
    readiness_probe: The pod gets no traffic of Services while this fails.
    startup_probe: Other probes wait until this has succeeded.
    lifecycle: Hooks at start and stop.
    termination_message_path: File whose content becomes the message when the container ends.
    termination_message_policy: File, or FallbackToLogsOnError to use the end of the log after a failure.
    image_pull_policy: Always, IfNotPresent or Never; Always when left out and the tag is latest.
    security_context: As whom the container runs and what it may do.
    stdin: True when a buffer for standard input is kept open.
    stdin_once: True when standard input closes after the first client is gone.
    tty: True when the container gets a terminal; needs stdin.
    """

    name: str = always("")
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    ports: Annotated[list[ContainerPort], merge_by("containerPort")] = []
    env_from: list[EnvFromSource] = []
    env: Annotated[list[EnvVar], merge_by("name")] = []
    resources: ResourceRequirements = msgspec.field(default_factory=ResourceRequirements)
    resize_policy: list[ContainerResizePolicy] = []
    restart_policy: str | None = None
    volume_mounts: Annotated[list[VolumeMount], merge_by("mountPath")] = []
    volume_devices: Annotated[list[VolumeDevice], merge_by("devicePath")] = []
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    image_pull_policy: str = ""
    security_context: SecurityContext | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False


class EphemeralContainer(Container):
    """A container added to a running pod to look into it; it has no ports, probes, hooks or resources.

    target_container_name: Container whose processes it sees; its own when empty.
    """

    target_container_name: str = ""
