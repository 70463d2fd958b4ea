"""Pods that say in their logs what they see in their volumes, and a node to run them on."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from container_agent import PODS, agent_of, asked, container, make_pod, pod_status, soon
from container_host import Host
from kmini.api import ApiFailure
from kmini_process import Server

Objects = list[dict[str, Any]]
CLASS = "here"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"


class Place:
    """The last agent is killed when `stack` is closed."""

    def __init__(self, host: Host, server: Server, stack: ExitStack) -> None:
        self.host = host
        self.server = server
        self._stack = stack

    def start_agent(self) -> None:
        self._agent = self._stack.enter_context(agent_of(self.host, self.server))

    def kill_agent(self) -> None:
        self._agent.kill()
        self._agent.wait()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return asked(self.server, method, path, body)

    def found(self, path: str) -> dict[str, Any] | None:
        try:
            return self.ask("GET", path)
        except ApiFailure as error:
            if error.code == 404:
                return None
            raise

    def is_ready(self) -> bool:
        nodes = self.ask("GET", "/api/v1/nodes")["items"]
        conditions = [each for node in nodes for each in node["status"]["conditions"] if each["type"] == "Ready"]
        return [each["status"] for each in conditions] == ["True"]

    # --- pods

    def run(self, name: str, script: str, volumes: Objects, mounts: Objects, **more: Any) -> None:
        spec = {"restartPolicy": "Never"} | more
        make_pod(self.server, name, container("main", script, volumeMounts=mounts), volumes=volumes, **spec)

    def ends(self, name: str, phase: str = "Succeeded") -> str:
        """What it said, once it has ended so."""
        soon(lambda: pod_status(self.server, name).get("phase") in ("Succeeded", "Failed"), f"{name} ends")
        status = pod_status(self.server, name)
        said = self.said(name)
        assert status["phase"] == phase, (status, said)
        return said

    def said(self, name: str) -> str:
        uid = self.uid(name)
        files = sorted((self.host.folder / "agent/logs" / f"default_{name}_{uid}" / "main").glob("*.log"))
        lines = files[-1].read_text().splitlines() if files else []
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def uid(self, name: str) -> str:
        return str(self.ask("GET", f"{PODS}/{name}")["metadata"]["uid"])

    def folder(self, uid: str) -> Path:
        return self.host.folder / "agent/pods" / uid

    def delete(self, name: str) -> None:
        """Returns when nothing of it is left on the node."""
        uid = self.uid(name)
        self.ask("DELETE", f"{PODS}/{name}")
        soon(lambda: self.found(f"{PODS}/{name}") is None, f"{name} is gone")
        soon(lambda: not self.folder(uid).exists(), f"the folder of {name} is gone")
        assert uid not in Path("/proc/self/mountinfo").read_text()

    def waits(self, name: str, words: str) -> None:
        """Its container waits, or its events say, with these words."""

        def look() -> bool:
            statuses = pod_status(self.server, name).get("containerStatuses", ())
            states = [each["state"].get("waiting", {}) for each in statuses]
            told = [each.get("message", "") for each in states] + [each["message"] for each in self.events(name)]
            return any(words in each for each in told)

        soon(look, f"{name} waits: {words}")

    def has_event(self, name: str, reason: str) -> None:
        soon(lambda: reason in {each["reason"] for each in self.events(name)}, f"an event {reason} of {name}")

    def events(self, name: str) -> list[dict[str, Any]]:
        items = self.ask("GET", "/api/v1/namespaces/default/events")["items"]
        return [each for each in items if each["involvedObject"]["name"] == name]

    # --- claims

    def claim(self, name: str, storage_class: str = CLASS) -> None:
        spec = {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
        }
        body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
        self.ask("POST", CLAIMS, body)

    def volume_of(self, claim: str) -> dict[str, Any]:
        name = self.ask("GET", f"{CLAIMS}/{claim}")["spec"]["volumeName"]
        return self.ask("GET", f"{VOLUMES}/{name}")


def claimed(claim: str) -> tuple[Objects, Objects]:
    """Volumes and mounts: the claim at /data."""
    return [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}], [{"name": "data", "mountPath": "/data"}]
