"""ConfigMaps, Secrets, tokens and the pod's own fields as files: right, in memory where secret, and kept up to date."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from typing import Any

from container_agent import PODS, soon
from kmini.api import ApiFailure
from volume_pods import Place

MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
ANNOTATIONS = {"fieldPath": "metadata.annotations"}
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def config_map(place: Place, name: str, **data: str) -> None:
    place.ask("POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def secret(place: Place, name: str, **data: str) -> None:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    place.ask("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded})


def change(place: Place, path: str, **fields: Any) -> None:
    """Of what is there, whoever else changes it meanwhile: a node writes its pods' status when it likes."""

    def changed() -> bool:
        found = place.ask("GET", path)
        for key, value in fields.items():
            found[key] = {**(found.get(key) or {}), **value}
        try:
            place.ask("PUT", path, found)
        except ApiFailure as error:
            if error.code != 409:
                raise
            return False
        return True

    soon(changed, f"a change of {path}")


def poke(place: Place, pod: str, value: str) -> None:
    """An annotation that changes makes the node look at the pod's files at once."""
    change(place, f"{PODS}/{pod}", metadata={"annotations": {"poked": value}})


def test_running_pods_see_changes_also_after_a_new_agent(place: Place) -> None:
    config_map(place, "settings", a="one")
    secret(place, "password", p="hidden-one")
    volumes = [
        {"name": "config", "configMap": {"name": "settings", "items": [{"key": "a", "path": "sub/a"}]}},
        {"name": "secret", "secret": {"secretName": "password", "defaultMode": 0o400}},
        {
            "name": "self",
            "downwardAPI": {"items": [{"path": "notes", "fieldRef": {"fieldPath": "metadata.annotations"}}]},
        },
    ]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("config", "secret", "self")]
    script = "grep ' /secret ' /proc/mounts; stat -c %a /secret/..data/p; touch /config/x; touch /secret/x; "
    script += (
        "while true; do echo $(cat /config/sub/a; echo; cat /secret/p; echo; cat /self/notes); sleep 0.2; done 2>&1"
    )
    place.run("watcher", f"exec 2>&1; {script}", volumes, mounts)
    soon(lambda: "one hidden-one" in place.said("watcher").replace("\n", " "), "the first is seen")
    said = place.said("watcher")
    assert "tmpfs /secret tmpfs ro" in said
    assert "\n400\n" in said
    assert said.count("Read-only file system") == 2
    change(place, f"{MAPS}/settings", data={"a": "two"})
    change(place, f"{SECRETS}/password", data={"p": base64.b64encode(b"hidden-two").decode()})
    poke(place, "watcher", "first")
    soon(lambda: 'two hidden-two poked="first"' in place.said("watcher"), "the second is seen")
    place.kill_agent()
    place.start_agent()
    change(place, f"{MAPS}/settings", data={"a": "three"})
    soon(lambda: "three hidden-two" in place.said("watcher"), "a new agent goes on")
    assert place.ask("GET", f"{PODS}/watcher")["status"]["containerStatuses"][0]["restartCount"] == 0
    logs = (place.host.folder / "agent.log").read_text()
    assert "hidden-" not in logs
    place.delete("watcher")


def test_the_token_of_a_pod_is_its_own(place: Place) -> None:
    script = (
        f"cat {ACCOUNT}/namespace; echo; stat -Lc %a {ACCOUNT}/token; cat {ACCOUNT}/token; echo; cat {ACCOUNT}/ca.crt"
    )
    place.run("caller", script, [], [])
    namespace, mode, token, *authority = place.ends("caller").splitlines()
    assert (namespace, mode) == ("default", "644")
    context = ssl.create_default_context(cadata="\n".join(authority))
    request = urllib.request.Request(
        f"https://127.0.0.1:{place.server.api_port}{REVIEWS}",
        json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, context=context, timeout=60) as answer:
        user = json.load(answer)["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:default:default"
    assert user["extra"]["authentication.kubernetes.io/pod-uid"] == [place.uid("caller")]
    assert user["extra"]["authentication.kubernetes.io/node-name"] == [place.host.name]
    place.delete("caller")


def test_a_pod_waits_for_what_it_refers_to(place: Place) -> None:
    volumes = [{"name": "v", "configMap": {"name": "late"}}]
    place.run("waiter", "cat /v/key", volumes, [{"name": "v", "mountPath": "/v"}])
    place.waits("waiter", 'MountVolume.SetUp failed for volume "v" : configmap "late" not found')
    place.has_event("waiter", "FailedMount")
    config_map(place, "late", key="here now")
    assert place.ends("waiter") == "here now"
    place.delete("waiter")


def test_groups_and_users_own_their_files(place: Place) -> None:
    secret(place, "owned", key="x")
    volumes = [
        {"name": "secret", "secret": {"secretName": "owned", "defaultMode": 0o400}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
    ]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("secret", "scratch", "memory")]
    script = f"id -u; cat /secret/key; echo; stat -Lc '%u %g %a' /secret/key /scratch /memory {ACCOUNT}/token; "
    script += f"mkdir /scratch/d; touch /memory/f; stat -c %g /scratch/d /memory/f; cat {ACCOUNT}/token > /dev/null"
    context = {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000}
    place.run("owner", script, volumes, mounts, securityContext=context)
    assert place.ends("owner").splitlines() == [
        "1000",
        "x",
        "0 2000 440",
        "0 2000 2777",
        "0 2000 2777",
        "1000 2000 640",
        "2000",
        "2000",
    ]
    place.delete("owner")
