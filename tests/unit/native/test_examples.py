"""Each kind of v1alpha1 by example: what is stored for it, and what a write through it leaves alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from apiserver.api.apps import Deployment
from apiserver.api.core.containers import Container
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.v1alpha1 import nodes, pods, services, volumes, workloads
from apiserver.api.v1alpha1.conversion import STEPS
from apiserver.decode import decode_object

HELLO = (
    b'{"apiVersion":"v1alpha1","kind":"Pod","metadata":{"name":"hello-1","namespace":"default"},"spec":{"containers":'
    b'[{"name":"app","image":"nginx:1.25","resources":{"cpu":"100m","memory":"128Mi"}}],"nodeName":"",'
    b'"restartPolicy":"Always"},"status":{"phase":"Pending"}}'
)


def plain(obj: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(obj))


def shown(type_: Any, **fields: Any) -> Any:
    return msgspec.convert({"apiVersion": "v1alpha1", "kind": type_.__name__, **fields}, type_)


def test_the_first_pod_anybody_writes() -> None:
    pod = decode_object(HELLO, "application/json", pods.Pod, strictness="Strict").obj
    stored = STEPS["Pod"].up(pod, None)
    assert plain(stored) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "hello-1", "namespace": "default"},
        "spec": {
            "containers": [
                {
                    "name": "app",
                    "image": "nginx:1.25",
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                }
            ],
            "restartPolicy": "Always",
        },
        "status": {"phase": "Pending"},
    }
    assert STEPS["Pod"].down(stored) == pod
    assert plain(STEPS["Pod"].down(stored)) == msgspec.json.decode(HELLO), "so that applying it again changes nothing"


def pod_with_a_sidecar() -> Pod:
    return msgspec.convert(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "spec": {
                "nodeName": "n1",
                "restartPolicy": "Always",
                "initContainers": [{"name": "log", "restartPolicy": "Always"}],
                "containers": [
                    {
                        "name": "app",
                        "image": "nginx:1.25",
                        "resources": {
                            "limits": {"cpu": "1"},
                            "requests": {"cpu": "100m", "memory": "1Mi", "ephemeral-storage": "1Gi"},
                        },
                        "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
                        "ports": [{"name": "web", "containerPort": 80, "hostPort": 8080, "protocol": "TCP"}],
                        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                    }
                ],
            },
        },
        Pod,
    )


def test_requests_change_beside_limits_that_stay() -> None:
    old = pod_with_a_sidecar()
    pod = STEPS["Pod"].down(old)
    pod.spec.containers[0].resources = pods.Resources(cpu="200m")
    resources = STEPS["Pod"].up(pod, old).spec.containers[0].resources
    assert resources.requests == {"cpu": "200m", "ephemeral-storage": "1Gi"}
    assert resources.limits == {"cpu": "1"}


def test_a_bound_pod_stays_bound_when_its_manifest_is_applied_again() -> None:
    old = pod_with_a_sidecar()
    pod = decode_object(HELLO, "application/json", pods.Pod).obj
    stored = STEPS["Pod"].up(pod, old)
    assert stored.spec.node_name == "n1"
    assert stored.spec.init_containers == old.spec.init_containers
    assert stored.spec.containers[0].liveness_probe == old.spec.containers[0].liveness_probe


def test_a_renamed_container_is_another_one() -> None:
    old = pod_with_a_sidecar()
    pod = STEPS["Pod"].down(old)
    pod.spec.containers[0].name = "web"
    assert STEPS["Pod"].up(pod, old).spec.containers[0].liveness_probe is None


def test_a_port_keeps_the_port_of_the_node_under_another_name() -> None:
    old = pod_with_a_sidecar()
    pod = STEPS["Pod"].down(old)
    pod.spec.containers[0].ports = [pods.ContainerPort(name="http", container_port=80)]
    (port,) = STEPS["Pod"].up(pod, old).spec.containers[0].ports
    assert (port.name, port.host_port) == ("http", 8080)


def test_a_variable_is_taken_from_elsewhere_until_it_gets_a_value() -> None:
    old = pod_with_a_sidecar()
    pod = STEPS["Pod"].down(old)
    assert pod.spec.containers[0].env == [pods.EnvVar(name="IP")]
    assert STEPS["Pod"].up(pod, old).spec.containers[0].env[0].value_from is not None
    pod.spec.containers[0].env[0].value = "10.0.0.1"
    (variable,) = STEPS["Pod"].up(pod, old).spec.containers[0].env
    assert (variable.value, variable.value_from) == ("10.0.0.1", None)


def test_variables_of_one_name_keep_their_order() -> None:
    old = Container(name="app")
    values = {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}} for path in ("one", "two")]}
    old.env = msgspec.convert(values, Container).env
    stored = Pod(api_version="v1")
    stored.spec.containers = [old]
    assert STEPS["Pod"].up(STEPS["Pod"].down(stored), stored) == stored


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ([], False),
        ([{"type": "Ready", "status": "True"}], True),
        ([{"type": "Ready", "status": "Unknown"}], False),
        ([{"type": "DiskPressure", "status": "True"}], False),
    ],
)
def test_a_node_is_ready_when_its_condition_says_so(conditions: list[dict[str, str]], ready: bool) -> None:
    node = msgspec.convert({"apiVersion": "v1", "status": {"conditions": conditions}}, Node)
    assert STEPS["Node"].down(node).status.ready is ready


def test_a_node_that_gets_ready_keeps_its_other_conditions() -> None:
    conditions = [{"type": "Ready", "status": "False", "reason": "Starting"}, {"type": "X", "status": "True"}]
    old = msgspec.convert({"apiVersion": "v1", "status": {"conditions": conditions}}, Node)
    node = STEPS["Node"].down(old)
    node.status.ready = True
    stored = STEPS["Node"].up(node, old)
    assert [each.type for each in stored.status.conditions] == ["Ready", "X"]
    assert (stored.status.conditions[0].status, stored.status.conditions[0].reason) == ("True", "Starting")


def test_a_node_shows_its_machine() -> None:
    values = {"capacity": {"cpu": "2"}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "ready": True}
    node = shown(nodes.Node, spec={"unschedulable": True}, status=values)
    stored = STEPS["Node"].up(node, None)
    assert stored.spec.unschedulable
    assert stored.status.capacity == {"cpu": "2"}
    assert plain(STEPS["Node"].down(stored))["status"] == values


def test_a_service_shows_the_address_it_was_given() -> None:
    ports = [{"name": "http", "port": 80, "appProtocol": "h2c", "nodePort": 30080}]
    old = msgspec.convert({"apiVersion": "v1", "spec": {"clusterIP": "10.96.0.9", "ports": ports}}, Service)
    service = STEPS["Service"].down(old)
    assert service.status.cluster_ip == "10.96.0.9"
    service.status.cluster_ip = "10.96.0.66"
    service.spec.ports[0].target_port = "web"
    stored = STEPS["Service"].up(service, old)
    assert stored.spec.cluster_ip == "10.96.0.9"
    assert (stored.spec.ports[0].app_protocol, stored.spec.ports[0].target_port) == ("h2c", "web")


def test_a_service_in_small() -> None:
    service = shown(services.Service, spec={"selector": {"app": "hello"}, "ports": [{"port": 80, "targetPort": 8080}]})
    assert plain(STEPS["Service"].up(service, None))["spec"] == {
        "selector": {"app": "hello"},
        "ports": [{"port": 80, "targetPort": 8080}],
    }


def test_a_claim_says_how_much_storage() -> None:
    claim = shown(volumes.PersistentVolumeClaim, spec={"accessModes": ["ReadWriteOnce"], "storage": "1Gi"})
    stored = STEPS["PersistentVolumeClaim"].up(claim, None)
    assert plain(stored)["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    stored.spec.volume_name, stored.spec.storage_class_name = "pv-1", "fast"
    again = STEPS["PersistentVolumeClaim"].up(claim, stored)
    assert (again.spec.volume_name, again.spec.storage_class_name) == ("pv-1", "fast")


def test_a_volume_is_a_directory_of_a_node() -> None:
    volume = shown(volumes.PersistentVolume, spec={"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"}})
    stored = STEPS["PersistentVolume"].up(volume, None)
    assert plain(stored)["spec"] == {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"}}
    stored.spec.host_path.type = "Directory"
    assert STEPS["PersistentVolume"].up(volume, stored).spec.host_path.type == "Directory"


@pytest.mark.parametrize(
    ("type_", "kind"), [(workloads.Deployment, "Deployment"), (workloads.ReplicaSet, "ReplicaSet")]
)
def test_workloads_keep_the_template_they_cannot_show(type_: Any, kind: str) -> None:
    labels = {"app": "hello"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "i"}]}}
    small = shown(type_, spec={"replicas": 2, "selector": {"matchLabels": labels}, "template": template})
    stored = STEPS[kind].up(small, None)
    assert stored.api_version == "apps/v1"
    stored.spec.template.spec.termination_grace_period_seconds = 5
    stored.spec.min_ready_seconds = 7
    small.spec.replicas = 3
    again = STEPS[kind].up(small, stored)
    assert (again.spec.replicas, again.spec.min_ready_seconds) == (3, 7)
    assert again.spec.template.spec.termination_grace_period_seconds == 5
    assert STEPS[kind].down(again) == small


def test_a_deployment_keeps_its_strategy() -> None:
    spec = {"strategy": {"type": "Recreate"}, "paused": True}
    old = msgspec.convert({"apiVersion": "apps/v1", "spec": spec}, Deployment)
    assert STEPS["Deployment"].up(STEPS["Deployment"].down(old), old) == old
