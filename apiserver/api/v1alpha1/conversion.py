"""The way from v1alpha1 to v1 and back: one step per kind, `STEPS[kind]`.

Every kind has a single step today. When a v1beta1 comes between, its table of forms is one more module, the steps here
lead to it instead of to v1, and STEPS holds `Steps(to v1beta1, to v1)` (docs/api-versions.md).

What v1alpha1 says differently: `resources` are the requests; a claim's `storage` is a request too; `status.ready` of a
Node is its condition Ready; `status.clusterIP` of a Service is a field of its spec. What a writer may leave out without
taking it away is `Settled`: the node a pod is bound to above all, which a manifest that is applied again does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from apiserver.api import apps
from apiserver.api.core import containers, node, persistent_volumes, pod, service
from apiserver.api.core.volume_sources import HostPathVolumeSource
from apiserver.api.forms import Each, Entry, Fixed, Form, Inside, Nested, Same, Settled, Step

from . import nodes, pods, services, volumes, workloads

READY = "Ready"


def _named(struct: Any) -> str:
    name: str = struct.name
    return name


def _api_version(stored: str) -> Fixed:
    return Fixed("api_version", shown="v1alpha1", stored=stored)


class _Value(Same):
    """A variable that gets another value is no longer taken from anywhere else."""

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        if old is None or value != old.value:
            stored.value_from = None
        super().write(value, stored, old)


class _Ready:
    """Whether the condition Ready is True."""

    def show(self, stored: node.NodeStatus) -> bool:
        return any(each.type == READY and each.status == "True" for each in stored.conditions)

    def write(self, value: bool, stored: node.NodeStatus, old: node.NodeStatus | None) -> None:
        if value == self.show(stored):
            return
        status = "True" if value else "False"
        conditions = [
            msgspec.structs.replace(each, status=status) if each.type == READY else each for each in stored.conditions
        ]
        if all(each.type != READY for each in conditions):
            conditions.append(node.NodeCondition(type=READY, status=status))
        stored.conditions = conditions


class _ServiceStatus:
    """The address lies in the spec of a stored Service, where only its creation can set it."""

    def show(self, stored: service.Service) -> services.ServiceStatus:
        return services.ServiceStatus(cluster_ip=stored.spec.cluster_ip)

    def write(self, value: services.ServiceStatus, stored: service.Service, old: service.Service | None) -> None:
        if old is None:
            stored.spec = msgspec.structs.replace(stored.spec, cluster_ip=value.cluster_ip)


_CONTAINER = Form(
    pods.Container,
    containers.Container,
    env=Each("env", Form(pods.EnvVar, containers.EnvVar, value=_Value("value")), _named),
    ports=Each(
        "ports",
        Form(pods.ContainerPort, containers.ContainerPort),
        lambda port: (port.container_port, port.protocol or "TCP"),
    ),
    resources=Nested(
        "resources",
        Form(
            pods.Resources,
            containers.ResourceRequirements,
            cpu=Entry("requests", "cpu"),
            memory=Entry("requests", "memory"),
        ),
    ),
)
_POD_SPEC = Form(
    pods.PodSpec,
    pod.PodSpec,
    containers=Each("containers", _CONTAINER, _named),
    node_name=Settled("node_name"),
    restart_policy=Settled("restart_policy"),
)
_POD = Form(
    pods.Pod,
    pod.Pod,
    api_version=_api_version("v1"),
    spec=Nested("spec", _POD_SPEC),
    status=Nested("status", Form(pods.PodStatus, pod.PodStatus)),
)
_TEMPLATE = Form(pods.PodTemplateSpec, pod.PodTemplateSpec, spec=Nested("spec", _POD_SPEC))
_DEPLOYMENT = Form(
    workloads.Deployment,
    apps.Deployment,
    api_version=_api_version("apps/v1"),
    spec=Nested("spec", Form(workloads.DeploymentSpec, apps.DeploymentSpec, template=Nested("template", _TEMPLATE))),
    status=Nested("status", Form(workloads.DeploymentStatus, apps.DeploymentStatus)),
)
_REPLICA_SET = Form(
    workloads.ReplicaSet,
    apps.ReplicaSet,
    api_version=_api_version("apps/v1"),
    spec=Nested("spec", Form(workloads.ReplicaSetSpec, apps.ReplicaSetSpec, template=Nested("template", _TEMPLATE))),
    status=Nested("status", Form(workloads.ReplicaSetStatus, apps.ReplicaSetStatus)),
)
_SERVICE = Form(
    services.Service,
    service.Service,
    api_version=_api_version("v1"),
    spec=Nested(
        "spec",
        Form(
            services.ServiceSpec,
            service.ServiceSpec,
            ports=Each(
                "ports",
                Form(services.ServicePort, service.ServicePort),
                lambda port: (port.port, port.protocol or "TCP"),
            ),
        ),
    ),
    status=_ServiceStatus(),
)
_NODE = Form(
    nodes.Node,
    node.Node,
    api_version=_api_version("v1"),
    spec=Nested("spec", Form(nodes.NodeSpec, node.NodeSpec)),
    status=Nested(
        "status",
        Form(
            nodes.NodeStatus,
            node.NodeStatus,
            addresses=Each(
                "addresses", Form(nodes.NodeAddress, node.NodeAddress), lambda each: (each.type, each.address)
            ),
            ready=_Ready(),
        ),
    ),
)
_VOLUME = Form(
    volumes.PersistentVolume,
    persistent_volumes.PersistentVolume,
    api_version=_api_version("v1"),
    spec=Nested(
        "spec",
        Form(
            volumes.PersistentVolumeSpec,
            persistent_volumes.PersistentVolumeSpec,
            host_path=Nested("host_path", Form(volumes.HostPath, HostPathVolumeSource)),
        ),
    ),
    status=Nested("status", Form(volumes.PersistentVolumeStatus, persistent_volumes.PersistentVolumeStatus)),
)
_CLAIM = Form(
    volumes.PersistentVolumeClaim,
    persistent_volumes.PersistentVolumeClaim,
    api_version=_api_version("v1"),
    spec=Nested(
        "spec",
        Form(
            volumes.PersistentVolumeClaimSpec,
            persistent_volumes.PersistentVolumeClaimSpec,
            storage=Inside("resources", Entry("requests", "storage")),
            storage_class_name=Settled("storage_class_name", unset=None),
            volume_name=Settled("volume_name"),
        ),
    ),
    status=Nested("status", Form(volumes.PersistentVolumeClaimStatus, persistent_volumes.PersistentVolumeClaimStatus)),
)

#: By kind: from the object of v1alpha1 to the stored one of v1.
STEPS: Mapping[str, Step] = {
    "Pod": _POD,
    "Node": _NODE,
    "Service": _SERVICE,
    "PersistentVolume": _VOLUME,
    "PersistentVolumeClaim": _CLAIM,
    "Deployment": _DEPLOYMENT,
    "ReplicaSet": _REPLICA_SET,
}
