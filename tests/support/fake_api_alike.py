"""Random requests that are sent to the fake API and to a real server, and what must be the same in their answers.

A request says nothing that only one of the two could know: uids and resource versions are drawn from what each has
shown of an object (`Said`), by place in that history. In answers they, moments, chosen names and addresses are replaced
by words; whether a write gave an object a new version is kept.
"""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any, NamedTuple

from apiserver.client.requests import Patch

DEFAULT = "/api/v1/namespaces/default"
PATHS = {
    "pod": f"{DEFAULT}/pods",
    "configmap": f"{DEFAULT}/configmaps",
    "service": f"{DEFAULT}/services",
    "claim": f"{DEFAULT}/persistentvolumeclaims",
    "deployment": "/apis/apps/v1/namespaces/default/deployments",
    "replicaset": "/apis/apps/v1/namespaces/default/replicasets",
    "lease": "/apis/coordination.k8s.io/v1/namespaces/default/leases",
    "node": "/api/v1/nodes",
    "namespace": "/api/v1/namespaces",
}
NAMES = ("a", "b", "c")
POLICIES = (None, None, "Background", "Foreground", "Orphan")
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_VERSION = re.compile(r"(ResourceVersion in [a-z ]+: )\d+")
_CHOSEN = re.compile(r"\b([abc]-)[bcdfghjklmnpqrstvwxz2456789]{5}\b")
_ADDRESS = re.compile(r"10\.96\.\d+\.\d+")
_MOMENTS = ("creationTimestamp", "deletionTimestamp", "lastTransitionTime", "lastUpdateTime")


class Said(NamedTuple):
    """A uid or version, as one of the two sides knows it: that of the object at `path`, `back` answers ago."""

    what: str  # uid or resourceVersion
    path: str
    back: int


class Wanted(NamedTuple):
    method: str
    path: str
    query: str = ""
    body: Any = None
    content_type: str = "application/json"
    fence: str = ""


class Watched(NamedTuple):
    path: str
    labels: str = ""
    fields: str = ""

    def query(self, version: int) -> tuple[tuple[str, str], ...]:
        selectors = (("labelSelector", self.labels), ("fieldSelector", self.fields))
        chosen = [(name, value) for name, value in selectors if value]
        return (("watch", "1"), ("resourceVersion", str(version)), *chosen)


class Side:
    """What one API has shown of every object."""

    def __init__(self) -> None:
        self._shown: dict[str, list[dict[str, str]]] = {}

    def filled(self, value: Any) -> Any:
        """A body with everything `Said` put in."""
        if isinstance(value, Said):
            shown = self._shown.get(value.path, [])
            if not shown:
                return "00000000-0000-4000-8000-000000000000" if value.what == "uid" else "1"
            return shown[max(-len(shown), -1 - value.back)][value.what]
        if isinstance(value, dict):
            return {key: self.filled(each) for key, each in value.items()}
        return [self.filled(each) for each in value] if isinstance(value, list) else value

    def heard(self, path: str, body: Any) -> Any:
        """The answer as it can be compared."""
        found = comparable(body)
        metadata = body.get("metadata") if isinstance(body, dict) else None
        if isinstance(metadata, dict) and metadata.get("uid") and "items" not in body:
            shown = self._shown.setdefault(path, [])
            now = {"uid": metadata["uid"], "resourceVersion": metadata.get("resourceVersion", "")}
            found["metadata"]["isNews"] = not shown or shown[-1] != now
            shown.append(now)
        return found


def comparable(value: Any) -> Any:
    """JSON without what no two servers have in common."""
    if isinstance(value, dict):
        found = {key: comparable(each) for key, each in value.items()}
        for key in _MOMENTS:
            if found.get(key):
                found[key] = "moment"
        for key in ("resourceVersion", "continue"):
            if found.get(key):
                found[key] = key
        for key in ("nodePort", "ca.crt"):
            if key in found:
                found[key] = key
        return found
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if isinstance(value, str):
        value = _VERSION.sub(r"\1version", _VOLUME.sub("volume", _UID.sub("uid", value)))
        return _ADDRESS.sub("address", _CHOSEN.sub(r"\1*", value))
    return value


# --- what is asked --------------------------------------------------------------------------------------


def first_requests() -> list[Wanted]:
    """Nodes and a namespace that what follows needs."""
    has = {"cpu": "1", "memory": "1Gi", "pods": "3"}
    nodes = [
        Wanted("POST", PATHS["node"], body={"metadata": {"name": name}, "status": {"allocatable": has}})
        for name in ("n1", "n2")
    ]
    return [*nodes, Wanted("POST", PATHS["namespace"], body={"metadata": {"name": "other"}})]


def random_request(random: Random) -> Wanted:
    make = random.choice((_create, _create, _read, _update, _patch, _patch, _status, _delete, _delete, _special))
    return make(random)


def _place(random: Random, *kinds: str) -> tuple[str, str, str]:
    kind = random.choice(kinds or ("pod", "pod", "configmap", "service", "claim", "deployment", "replicaset", "lease"))
    name = random.choice(NAMES)
    return kind, name, f"{PATHS[kind]}/{name}"


def _manifest(random: Random, kind: str, name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {"app": random.choice(("x", "y"))}}
    if random.random() < 0.2:
        metadata["finalizers"] = ["example.com/hold"]
    if random.random() < 0.1:
        del metadata["name"]
        metadata["generateName"] = f"{name}-"
    return {"metadata": metadata, **_fields(random, kind)}


def _fields(random: Random, kind: str) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "app", "image": f"app:{random.randint(1, 2)}"}
    container["resources"] = {"requests": {"cpu": random.choice(("300m", "2"))}}
    spec: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": random.choice((0, 5, 30))}
    if random.random() < 0.1:
        spec["schedulingGates"] = [{"name": "example.com/gate"}]
    selector = {"matchLabels": {"app": "x"}}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}}
    match kind:
        case "pod":
            return {"spec": spec}
        case "service":
            return {
                "spec": {
                    "type": random.choice(("ClusterIP", "NodePort")),
                    "ports": [{"port": random.choice((80, 0))}],
                    "clusterIP": random.choice(("", "", "None", "10.96.0.77", "10.1.1.1")),
                }
            }
        case "claim":
            return {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
        case "deployment" | "replicaset":
            return {"spec": {"replicas": random.randint(-1, 3), "selector": selector, "template": template}}
        case "lease":
            return {"spec": {"holderIdentity": random.choice(("one", "two", "")), "leaseTransitions": 0}}
    return {"data": {"key": random.choice("xyz")}}


def _create(random: Random) -> Wanted:
    kind, name, _ = _place(random)
    body = _manifest(random, kind, name)
    if random.random() < 0.05:
        body["metadata"]["resourceVersion"] = "5"
    collection = PATHS[kind]
    if random.random() < 0.1:
        collection = collection.replace("/default/", random.choice(("/other/", "/nowhere/")))
    chosen = "generateName" in body["metadata"]  # by each side another name: neither may keep it
    query = "?dryRun=All" if chosen or random.random() < 0.1 else ""
    return Wanted("POST", collection, query, body, fence=_fence(random))


def _fence(random: Random) -> str:
    return random.choice(("", "", "", "", "", "default/a/0", "default/a/1", "default/b/0", "nonsense"))


def _read(random: Random) -> Wanted:
    kind, _, path = _place(random)
    if kind == "service" or random.random() < 0.4:  # a real server has a Service of its own
        return Wanted("GET", path)
    query = random.choice(
        ("", "?labelSelector=app%3Dx", "?labelSelector=app%20in%20(y)", "?fieldSelector=metadata.name%3Da", "?limit=2",
         "?fieldSelector=spec.nodeName%3Dn1", "?labelSelector=app%3D%3D%3D")
    )  # fmt: skip
    return Wanted("GET", PATHS[kind], query)


def _claims(random: Random, path: str) -> dict[str, Any]:
    """What a write may say of the object that it means."""
    found: dict[str, Any] = {}
    if random.random() < 0.5:
        found["resourceVersion"] = Said("resourceVersion", path, random.choice((0, 0, 0, 1, 3)))
    if random.random() < 0.2:
        found["uid"] = Said("uid", path, random.choice((0, 0, 9)))
    return found


def _update(random: Random) -> Wanted:
    kind, name, path = _place(random)
    body = _manifest(random, kind, name)
    body["metadata"] |= {"name": name, **_claims(random, path)}
    body["metadata"].pop("generateName", None)
    return Wanted("PUT", path, "", body, fence=_fence(random))


def _patch(random: Random) -> Wanted:
    _, _, path = _place(random)
    how = random.choice(tuple(Patch))
    if how is Patch.JSON:
        operations: list[Any] = [
            {"op": "replace", "path": "/metadata/labels/app", "value": random.choice("xy")},
            {"op": "test", "path": "/metadata/uid", "value": Said("uid", path, random.choice((0, 0, 9)))},
            {"op": "remove", "path": "/metadata/finalizers"},
            {"op": "replace", "path": "/spec/replicas", "value": random.randint(0, 3)},
            {"op": "add", "path": "/nonsense/there", "value": 1},
        ]
        return Wanted("PATCH", path, "", random.sample(operations, random.randint(1, 2)), how.value)
    metadata: dict[str, Any] = {"labels": {"app": random.choice(("x", "y", None))}, **_claims(random, path)}
    if random.random() < 0.4:
        metadata["finalizers"] = random.choice((None, [], ["example.com/hold"], ["example.com/other"]))
    body: dict[str, Any] = {"metadata": metadata}
    if random.random() < 0.4:
        body |= random.choice(
            (
                {"spec": {"replicas": random.randint(0, 3)}},
                {"spec": {"containers": [{"name": "app", "image": "app:3"}]}},
                {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:3"}]}}}},
                {"status": {"phase": "Running"}},
                {"data": {"key": "z", "more": "w"}},
            )
        )
    return Wanted("PATCH", path, "", body, how.value, fence=_fence(random))


def _status(random: Random) -> Wanted:
    kind, name, path = _place(random, "pod", "deployment", "replicaset", "service", "node")
    name = random.choice(("n1", "n2")) if kind == "node" else name
    path = f"{PATHS[kind]}/{name}"
    status = random.choice(
        (
            {"phase": random.choice(("Running", "Succeeded"))},
            {"conditions": [{"type": "Ready", "status": random.choice(("True", "False"))}]},
            {"replicas": 2, "readyReplicas": 1},
        )
    )
    body = {"metadata": _claims(random, path), "status": status, "spec": {"replicas": 9, "nodeName": "n1"}}
    how = random.choice((Patch.MERGE, Patch.STRATEGIC))
    return Wanted("PATCH", f"{path}/status", "", body, how.value)


def _delete(random: Random) -> Wanted:
    kind, _, path = _place(random)
    options: dict[str, Any] = {}
    if random.random() < 0.4:
        options["gracePeriodSeconds"] = random.choice((0, 0, 1, 60, -1))
    policy = random.choice(POLICIES)
    if policy:
        options["propagationPolicy"] = policy
    if random.random() < 0.3:
        what = random.choice(("uid", "resourceVersion"))
        options["preconditions"] = {what: Said(what, path, random.choice((0, 0, 2)))}
    if random.random() < 0.05:
        return Wanted("DELETE", PATHS[kind], "?labelSelector=app%3Dy", options)
    return Wanted("DELETE", path, "", options, fence=_fence(random))


def _special(random: Random) -> Wanted:
    name = random.choice(NAMES)
    pod = f"{PATHS['pod']}/{name}"
    owner = f"{PATHS[random.choice(('deployment', 'replicaset'))]}/{name}"
    target = {"kind": "Node", "name": random.choice(("n1", "n1", "n2", "nowhere"))}
    finalizers = random.choice(([], ["kubernetes"]))
    return random.choice(
        (
            Wanted("POST", f"{pod}/binding", "", {"metadata": _claims(random, pod), "target": target}),
            Wanted("POST", f"{pod}/binding", "", {"metadata": {"name": name}, "target": target}),
            Wanted("POST", f"{pod}/eviction", "", {"metadata": {"name": name}}),
            Wanted("GET", f"{owner}/scale"),
            Wanted("PATCH", f"{owner}/scale", "", {"spec": {"replicas": random.randint(0, 4)}}, Patch.MERGE.value),
            Wanted("POST", PATHS["namespace"], "", {"metadata": {"name": "other"}}),
            Wanted("DELETE", f"{PATHS['namespace']}/other"),
            Wanted("PUT", f"{PATHS['namespace']}/other/finalize", "", _finalized(finalizers)),
            Wanted("DELETE", f"{PATHS['namespace']}/default"),
        )
    )


def _finalized(finalizers: list[str]) -> dict[str, Any]:
    return {"metadata": {"name": "other"}, "spec": {"finalizers": finalizers}}


def shown(wanted: Wanted) -> str:
    """For people."""
    body = "" if wanted.body is None else json.dumps(wanted.body, default=str)
    return f"{wanted.method} {wanted.path}{wanted.query} {wanted.content_type} {wanted.fence} {body}"
