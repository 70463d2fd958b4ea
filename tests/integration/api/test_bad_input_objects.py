"""Objects that break a rule: names, labels, quantities, ports, what is missing, what may not change, what is taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_thread import ThreadedApi, api_on_thread
from wrong_requests import (
    CLAIMS,
    DEPLOYMENTS,
    LEASES,
    MAPS,
    NATIVE_PODS,
    NODES,
    PODS,
    RBAC,
    REQUESTS,
    SECRETS,
    SERVICES,
    VOLUMES,
    Wrong,
    check_wrong,
    config_map,
    deployment,
    pod,
    prepare,
    role,
    service,
    with_metadata,
)

INVALID = (422, "Invalid")
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
LABEL_VALUE = "a valid label must be an empty string or consist of alphanumeric characters"


def metadata(id: str, says: str, *fields: str, **given: Any) -> Wrong:
    return Wrong(f"metadata: {id}", "POST", MAPS, with_metadata(config_map(), **given), *INVALID, says, fields)


def container(id: str, says: str, *fields: str, **given: Any) -> Wrong:
    body = pod(containers=[{"name": "app", "image": "app:1", **given}])
    return Wrong(f"container: {id}", "POST", PODS, body, *INVALID, says, fields)


def a_pod(id: str, says: str, *fields: str, **given: Any) -> Wrong:
    return Wrong(f"pod: {id}", "POST", PODS, pod(**given), *INVALID, says, fields)


def a_service(id: str, says: str, *fields: str, **given: Any) -> Wrong:
    return Wrong(f"service: {id}", "POST", SERVICES, service(**given), *INVALID, says, fields)


def a_deployment(id: str, says: str, *fields: str, **given: Any) -> Wrong:
    return Wrong(f"deployment: {id}", "POST", DEPLOYMENTS, deployment(**given), *INVALID, says, fields)


METADATA: list[Wrong] = [
    metadata("no name", 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
             "metadata.name", name=""),
    metadata("capitals", SUBDOMAIN, "metadata.name", name="Upper"),
    metadata("an underscore", SUBDOMAIN, "metadata.name", name="a_b"),
    metadata("a slash", SUBDOMAIN, "metadata.name", name="a/b"),
    metadata("a dot first", SUBDOMAIN, "metadata.name", name=".a"),
    metadata("a name too long", "must be no more than 253 characters", "metadata.name", name="a" * 254),
    metadata("a bad prefix", SUBDOMAIN, "metadata.generateName", "metadata.name", name="", generateName="A_"),
    metadata("a label key", "prefix part must be non-empty", "metadata.labels", labels={"/a": "b"}),
    metadata("a label value", LABEL_VALUE, "metadata.labels", labels={"a": "-"}),
    metadata("a long label value", "must be no more than 63 characters", "metadata.labels", labels={"a": "b" * 64}),
    metadata("an annotation key", "name part must consist of", "metadata.annotations", annotations={"a b": "c"}),
    metadata("annotations too long", "Too long: may not be more than 262144 bytes", "metadata.annotations",
             annotations={"a": "b" * 262_145}),
    metadata("a finalizer", "name is neither a standard finalizer name nor is it fully qualified",
             "metadata.finalizers[0]", finalizers=["mine"]),
    metadata("an empty owner", "must not be empty", "metadata.ownerReferences[0].apiVersion",
             "metadata.ownerReferences[0].kind", "metadata.ownerReferences[0].name",
             "metadata.ownerReferences[0].uid", ownerReferences=[{}]),
]  # fmt: skip

PODS_WRONG: list[Wrong] = [
    a_pod("no containers", 'Pod "new" is invalid: spec.containers: Required value', "spec.containers", containers=[]),
    a_pod("a restart policy", 'supported values: "Always", "Never", "OnFailure"', "spec.restartPolicy",
          restartPolicy="Sometimes"),
    a_pod("a node name", SUBDOMAIN, "spec.nodeName", nodeName="A B"),
    a_pod("two containers of a name", 'Duplicate value: "app"', "spec.containers[1].name",
          containers=[{"name": "app", "image": "a"}, {"name": "app", "image": "b"}]),
    a_pod("a deadline", "must be between 1 and 2147483647, inclusive", "spec.activeDeadlineSeconds",
          activeDeadlineSeconds=0),
    a_pod("two volumes of a name", "Duplicate value", "spec.volumes[1].name",
          volumes=[{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]),
    a_pod("a volume of two kinds", "may not specify more than 1 volume type", "spec.volumes[0].hostPath",
          volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/d"}}]),
    a_pod("a toleration", "Unsupported value", "spec.tolerations[0].operator",
          tolerations=[{"operator": "Maybe", "key": "k"}]),
    a_pod("ephemeral containers", "cannot be set on create", "spec.ephemeralContainers",
          ephemeralContainers=[{"name": "debug", "image": "a"}]),
    container("no name", "Required value", "spec.containers[0].name", name=""),
    container("no image", "Required value", "spec.containers[0].image", image=""),
    container("a name", "a lowercase RFC 1123 label must consist of", "spec.containers[0].name", name="A"),
    container("a port of 0", "Required value", "spec.containers[0].ports[0].containerPort", ports=[{}]),
    container("a port too high", "must be between 1 and 65535, inclusive",
              "spec.containers[0].ports[0].containerPort", ports=[{"containerPort": 70_000}]),
    container("a protocol", 'supported values: "SCTP", "TCP", "UDP"', "spec.containers[0].ports[0].protocol",
              ports=[{"containerPort": 80, "protocol": "tcp"}]),
    container("requests over limits", "must be less than or equal to cpu limit of 1",
              "spec.containers[0].resources.requests",
              resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
    container("less than nothing", "must be greater than or equal to 0",
              "spec.containers[0].resources.requests[memory]", resources={"requests": {"memory": "-1"}}),
    container("a pull policy", 'supported values: "Always", "IfNotPresent", "Never"',
              "spec.containers[0].imagePullPolicy", imagePullPolicy="Rarely"),
    container("a mount of nothing", "Not found", "spec.containers[0].volumeMounts[0].name",
              volumeMounts=[{"name": "v", "mountPath": "/a"}]),
    container("a probe of nothing", "must specify a handler type", "spec.containers[0].livenessProbe",
              livenessProbe={}),
    container("an environment without a name", "Required value", "spec.containers[0].env[0].name",
              env=[{"value": "a"}]),
    Wrong("container: a quantity", "POST", PODS,
          pod(containers=[{"name": "a", "image": "b", "resources": {"requests": {"cpu": "1 core"}}}]),
          400, "BadRequest", "quantities must match the regular expression"),
    Wrong("native pod: no image", "POST", NATIVE_PODS,
          {"metadata": {"name": "new"}, "spec": {"containers": [{"name": "a"}]}}, *INVALID, "Required value",
          ["spec.containers[0].image"]),
    Wrong("native pod: a quantity", "POST", NATIVE_PODS,
          {"metadata": {"name": "new"},
           "spec": {"containers": [{"name": "a", "image": "b", "resources": {"memory": "much"}}]}},
          400, "BadRequest", "quantities must match the regular expression"),
]  # fmt: skip

SERVICES_WRONG: list[Wrong] = [
    a_service("no ports", "Required value", "spec.ports", ports=[]),
    a_service("a port of 0", "must be between 1 and 65535, inclusive", "spec.ports[0].port",
              "spec.ports[0].targetPort", ports=[{"port": 0}]),
    a_service("nameless ports", "Required value", "spec.ports[0].name", "spec.ports[1].name",
              ports=[{"port": 1}, {"port": 2}]),
    a_service("a type", 'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"', "spec.type",
              type="Any"),
    a_service("an address that is none", "must be a valid IP address", "spec.clusterIPs[0]", clusterIP="10.96.0"),
    a_service("an address out of range", "The range of valid IPs is 10.96.0.0/16", "spec.clusterIPs",
              clusterIP="192.168.0.1"),
    a_service("an address that is taken", "provided IP is already allocated", "spec.clusterIPs",
              clusterIP="10.96.0.50"),
    a_service("a node port out of range", "The range of valid ports is 30000-32767", "spec.ports[0].nodePort",
              type="NodePort", ports=[{"port": 80, "nodePort": 80}]),
    a_service("a node port that is taken", "provided port is already allocated", "spec.ports[0].nodePort",
              type="NodePort", ports=[{"port": 80, "nodePort": 30080}]),
    a_service("a node port without need", "may not be used when `type` is 'ClusterIP'", "spec.ports[0].nodePort",
              ports=[{"port": 80, "nodePort": 30081}]),
    a_service("no external name", "Required value", "spec.externalName", type="ExternalName", ports=[]),
    a_service("an affinity", 'supported values: "ClientIP", "None"', "spec.sessionAffinity", sessionAffinity="Mine"),
    Wrong("service: a name", "POST", SERVICES, service("1a"), *INVALID,
          "a DNS-1035 label must consist of lower case alphanumeric characters or '-'", ["metadata.name"]),
    Wrong("service: another address", "PATCH", f"{SERVICES}/there", {"spec": {"clusterIP": "10.96.0.51"}}, *INVALID,
          "may not change once set", ["spec.clusterIPs[0]"], headers={"Content-Type": "application/merge-patch+json"}),
]  # fmt: skip

KINDS_WRONG: list[Wrong] = [
    a_deployment("no selector", "Required value", "spec.selector", selector=None),
    a_deployment("a selector of others", "`selector` does not match template `labels`", "spec.template.metadata.labels",
                 selector={"matchLabels": {"app": "b"}}),
    a_deployment("replicas", "must be greater than or equal to 0", "spec.replicas", replicas=-1),
    a_deployment("a surge", "", "spec.strategy.rollingUpdate.maxSurge",
                 strategy={"rollingUpdate": {"maxSurge": "many"}}),
    Wrong("config map: a key", "POST", MAPS, config_map(data={"a/b": "c"}), *INVALID,
          "a valid config key must consist of", ["data[a/b]"]),
    Wrong("config map: a key twice", "POST", MAPS, config_map(data={"a": "b"}, binaryData={"a": "Yg=="}), *INVALID,
          "duplicate of key present in", ["data[a]", "binaryData[a]"]),
    Wrong("config map: too large", "POST", MAPS, config_map(data={"a": "b" * 600_000, "c": "d" * 448_577}), *INVALID,
          "Too long: may not be more than 1048576 bytes", [""]),
    Wrong("secret: no base64", "POST", SECRETS, {"metadata": {"name": "new"}, "data": {"a": "%"}}, 400, "BadRequest",
          "data"),
    Wrong("secret: a missing key", "POST", SECRETS, {"metadata": {"name": "new"}, "type": "kubernetes.io/tls"},
          *INVALID, "Required value", ["data[tls.crt]", "data[tls.key]"]),
    Wrong("volume: no capacity", "POST", VOLUMES,
          {"metadata": {"name": "new"}, "spec": {"accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/d"}}},
          *INVALID, "Required value", ["spec.capacity", "spec.capacity"]),
    Wrong("claim: no size", "POST", CLAIMS, {"metadata": {"name": "new"}, "spec": {"accessModes": ["ReadWriteOnce"]}},
          *INVALID, "Required value", ["spec.resources[storage]"]),
    Wrong("claim: a mode", "POST", CLAIMS,
          {"metadata": {"name": "new"},
           "spec": {"accessModes": ["Any"], "resources": {"requests": {"storage": "1Gi"}}}},
          *INVALID, "Unsupported value", ["spec.accessModes"]),
    Wrong("node: a network", "POST", NODES, {"metadata": {"name": "new"}, "spec": {"podCIDR": "10.0.0.0/40"}},
          *INVALID, "", ["spec.podCIDRs[0]"]),
    Wrong("lease: a duration", "POST", LEASES, {"metadata": {"name": "new"}, "spec": {"leaseDurationSeconds": 0}},
          *INVALID, "must be greater than 0", ["spec.leaseDurationSeconds"]),
    Wrong("role: a rule of nothing", "POST", f"{RBAC}/namespaces/default/roles", role("new", {}), *INVALID,
          "", ["rules[0].verbs", "rules[0].apiGroups", "rules[0].resources"]),
    Wrong("role: a path in a namespace", "POST", f"{RBAC}/namespaces/default/roles",
          role("new", {"verbs": ["get"], "nonResourceURLs": ["/a"]}), *INVALID,
          "namespaced rules cannot apply to non-resource URLs", ["rules[0].nonResourceURLs"]),
    Wrong("signing request: no PEM", "POST", REQUESTS,
          {"metadata": {"name": "new"}, "spec": {"request": "YQ==", "signerName": "a.b/c", "usages": ["client auth"]}},
          *INVALID, "PEM", ["spec.request"]),
    Wrong("priority: no value of the system", "POST", "/apis/scheduling.k8s.io/v1/priorityclasses",
          {"metadata": {"name": "system-mine"}, "value": 1}, *INVALID, "", ["metadata.name"]),
]  # fmt: skip

CHANGES: list[Wrong] = [
    Wrong("change: a pod's name of a node", "PATCH", f"{PODS}/there", {"spec": {"nodeName": "n1"}}, *INVALID,
          "pod updates may not change fields other than", ["spec"],
          headers={"Content-Type": "application/merge-patch+json"}),
    Wrong("change: a pod's containers", "PUT", f"{PODS}/there",
          pod("there", containers=[{"name": "app", "image": "a"}, {"name": "b", "image": "b"}]), *INVALID,
          "pod updates may not add or remove containers", ["spec.containers"]),
    Wrong("change: an immutable config map", "PUT", f"{MAPS}/fixed", config_map("fixed", data={}, immutable=True),
          *INVALID, "field is immutable when `immutable` is set", ["data"]),
    Wrong("change: mutable again", "PUT", f"{MAPS}/fixed", config_map("fixed", data={"a": "b"}), *INVALID,
          "field is immutable when `immutable` is set", ["immutable"]),
    Wrong("change: a selector", "PATCH", f"{DEPLOYMENTS}/there",
          [{"op": "add", "path": "/spec/selector/matchLabels/b", "value": "c"},
           {"op": "add", "path": "/spec/template/metadata/labels/b", "value": "c"}], *INVALID, "field is immutable",
          ["spec.selector"], headers={"Content-Type": "application/json-patch+json"}),
    Wrong("change: a secret's type", "PATCH", f"{SECRETS}/there", {"type": "kubernetes.io/x"}, *INVALID,
          "field is immutable", ["type"], headers={"Content-Type": "application/merge-patch+json"}),
    Wrong("change: a volume's source", "PATCH", f"{VOLUMES}/there", {"spec": {"hostPath": {"path": "/e"}}}, *INVALID,
          "spec.persistentvolumesource is immutable after creation", ["spec.persistentvolumesource"],
          headers={"Content-Type": "application/merge-patch+json"}),
    Wrong("change: a stale version", "PUT", f"{MAPS}/there",
          with_metadata(config_map("there"), resourceVersion="1"), 409, "Conflict",
          'Operation cannot be fulfilled on configmaps "there": the object has been modified; please apply your '
          "changes to the latest version and try again"),
    Wrong("change: a version that is none", "PUT", f"{MAPS}/there",
          with_metadata(config_map("there"), resourceVersion="new"), 409, "Conflict",
          "the object has been modified"),
    Wrong("change: another uid", "PUT", f"{MAPS}/there", with_metadata(config_map("there"), uid="u"), 409, "Conflict",
          "Precondition failed: UID in precondition: u, UID in object meta: "),
    Wrong("change: a lease without its version", "PUT", f"{LEASES}/office",
          {"metadata": {"name": "office"}, "spec": {}}, *INVALID, "must be specified for an update",
          ["metadata.resourceVersion"]),
    Wrong("change: what is not there", "PUT", f"{MAPS}/missing", config_map("missing"), 404, "NotFound",
          'configmaps "missing" not found'),
    Wrong("change: the status of what is not there", "PUT", f"{PODS}/missing/status", pod("missing"), 404, "NotFound",
          'pods "missing" not found'),
    Wrong("create: what is there", "POST", MAPS, config_map("there"), 409, "AlreadyExists",
          'configmaps "there" already exists'),
    Wrong("create: in a namespace that is not", "POST", "/api/v1/namespaces/missing/configmaps", config_map(),
          404, "NotFound", 'namespaces "missing" not found'),
    Wrong("create: in a namespace that ends", "POST", "/api/v1/namespaces/ending/configmaps", config_map(), 403,
          "Forbidden", "unable to create new content in namespace ending because it is being terminated",
          ["metadata.namespace"]),
    Wrong("create: an account that is not", "POST", PODS, pod(serviceAccountName="missing"), 403, "Forbidden",
          'error looking up service account default/missing: serviceaccount "missing" not found'),
    Wrong("create: a priority that is not", "POST", PODS, pod(priorityClassName="missing"), 403, "Forbidden",
          "no PriorityClass with name missing was found"),
    Wrong("finalizer: one more at the end", "PATCH", f"{PODS}/ending",
          {"metadata": {"finalizers": ["kmini.local/wait", "kmini.local/more"]}}, *INVALID,
          "no new finalizers can be added if the object is being deleted", ["metadata.finalizers"],
          headers={"Content-Type": "application/merge-patch+json"}),
]  # fmt: skip

WRONG = [*METADATA, *PODS_WRONG, *SERVICES_WRONG, *KINDS_WRONG, *CHANGES]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedApi]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as served:
        prepare(served)
        yield served


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_a_broken_rule_is_named(api: ThreadedApi, wrong: Wrong) -> None:
    check_wrong(api, wrong)
