"""Fields that field selectors may name, per kind, beside metadata.name and metadata.namespace: those of Kubernetes.

Every reader takes the stored form and gives text; it never fails on an object that lacks parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from apiserver.api.core.pod import Pod

from .strategies.events import reporter

Fields = Mapping[str, Callable[[Any], str]]


def _flag(path: str) -> Callable[[Any], str]:
    read = attrgetter(path)
    return lambda obj: "true" if read(obj) else "false"


def _number(path: str) -> Callable[[Any], str]:
    read = attrgetter(path)
    return lambda obj: str(read(obj))


def _addresses(pod: Pod) -> str:
    return ",".join(each.ip for each in pod.status.pod_ips)


def _related(part: str) -> Callable[[Any], str]:
    return attrgetter(f"involved_object.{part}")


POD: Fields = {
    "spec.nodeName": attrgetter("spec.node_name"),
    "spec.restartPolicy": attrgetter("spec.restart_policy"),
    "spec.schedulerName": attrgetter("spec.scheduler_name"),
    "spec.serviceAccountName": attrgetter("spec.service_account_name"),
    "spec.hostNetwork": _flag("spec.host_network"),
    "status.phase": attrgetter("status.phase"),
    "status.podIP": attrgetter("status.pod_ip"),
    "status.podIPs": _addresses,
    "status.nominatedNodeName": attrgetter("status.nominated_node_name"),
}
NODE: Fields = {"spec.unschedulable": _flag("spec.unschedulable")}
NAMESPACE: Fields = {"status.phase": attrgetter("status.phase")}
SECRET: Fields = {"type": attrgetter("type")}
SERVICE: Fields = {"spec.clusterIP": attrgetter("spec.cluster_ip"), "spec.type": attrgetter("spec.type")}
REPLICA_SET: Fields = {"status.replicas": _number("status.replicas")}
CERTIFICATE_SIGNING_REQUEST: Fields = {"spec.signerName": attrgetter("spec.signer_name")}

_PARTS = {
    "kind": "kind",
    "namespace": "namespace",
    "name": "name",
    "uid": "uid",
    "apiVersion": "api_version",
    "resourceVersion": "resource_version",
    "fieldPath": "field_path",
}
#: Under the names of both forms of an Event: the stored form is selected from, whatever form is asked for.
EVENT: Fields = {
    **{f"involvedObject.{name}": _related(part) for name, part in _PARTS.items()},
    **{f"regarding.{name}": _related(part) for name, part in _PARTS.items()},
    "reason": attrgetter("reason"),
    "reportingComponent": attrgetter("reporting_component"),
    "reportingController": attrgetter("reporting_component"),
    "source": reporter,
    "type": attrgetter("type"),
}
