"""Pods with real containers, and what is seen of them: their status, what they wrote, their control groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from container_agent import PODS, asked, make_pod, pod_status, soon
from container_host import Host
from kmini.api import ApiFailure
from kmini_process import Server


class PodsPlace:
    """One node and its control plane; `forget` ends the pods of a test."""

    def __init__(self, host: Host, server: Server) -> None:
        self.host = host
        self.server = server

    def is_ready(self) -> bool:
        """The node."""
        items = asked(self.server, "GET", "/api/v1/nodes")["items"]
        found = [each for item in items for each in item["status"]["conditions"] if each["type"] == "Ready"]
        return [each["status"] for each in found] == ["True"]

    def make(self, name: str, *containers: dict[str, Any], **spec: Any) -> None:
        make_pod(self.server, name, *containers, **spec)

    def create(self, plural: str, name: str, **body: Any) -> None:
        """In the default namespace, of core/v1."""
        path = f"/api/v1/namespaces/default/{plural}"
        asked(self.server, "POST", path, {"metadata": {"name": name}} | body)

    def get(self, name: str) -> dict[str, Any]:
        return asked(self.server, "GET", f"{PODS}/{name}")

    def status(self, name: str) -> dict[str, Any]:
        return pod_status(self.server, name)

    def container(self, name: str, which: str = "main") -> dict[str, Any]:
        """Its status; empty before there is one."""
        status = self.status(name)
        found = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
        return next((each for each in found if each["name"] == which), {})

    def waiting(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = self.container(name).get("state", {})
        found: dict[str, Any] = state.get("waiting", {})
        return found

    def waits(self, name: str, reason: str) -> dict[str, Any]:
        """Once it does: the state that was seen then; the next one may be another."""

        def look() -> dict[str, Any]:
            state = self.waiting(name)
            return state if state.get("reason") == reason else {}

        found: dict[str, Any] = soon(look, f"pod {name} waits with {reason}")
        return found

    def ended(self, name: str, which: str = "main") -> dict[str, Any]:
        """How, once it has."""
        found: dict[str, Any] = soon(
            lambda: self.container(name, which).get("state", {}).get("terminated"), f"the end of {name}"
        )
        return found

    def ended_before(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = soon(
            lambda: self.container(name).get("lastState", {}).get("terminated"), f"an end of {name}"
        )
        return found

    def runs(self, name: str) -> dict[str, Any]:
        """The pod's status, once all its containers run."""

        def look() -> dict[str, Any]:
            status = self.status(name)
            return status if status.get("phase") == "Running" else {}

        found: dict[str, Any] = soon(look, f"pod {name} runs")
        return found

    def said(self, name: str, which: str = "main") -> list[str]:
        """The lines of a container's standard output, once it has ended."""
        self.ended(name, which)
        uid = self.get(name)["metadata"]["uid"]
        log = self.host.folder / "agent" / "logs" / f"default_{name}_{uid}" / which / "0.log"
        return [line.split(" ", 3)[3] for line in log.read_text().splitlines() if " stdout " in line]

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reasons and messages."""
        items = asked(self.server, "GET", "/api/v1/namespaces/default/events")["items"]
        return [(each["reason"], each["message"]) for each in items if each["involvedObject"]["name"] == name]

    def has_event(self, name: str, reason: str, words: str) -> None:
        def there() -> bool:
            return any(each == reason and words in message for each, message in self.events(name))

        soon(there, f"an event {reason} of {name} that says {words!r}")

    def groups(self, name: str, controller: str, index: int = 0) -> tuple[Path, Path]:
        """Of the pod and of one of its containers."""
        uid = self.get(name)["metadata"]["uid"]
        container_id = self.status(name)["containerStatuses"][index]["containerID"].rpartition("/")[2]
        candidates = [group / "kubepods" / f"pod{uid}" for group in self.host.groups]
        pod = next(each for each in candidates if list(each.glob(f"{controller}.*")))
        return pod, pod / container_id

    def forget(self) -> None:
        for each in asked(self.server, "GET", PODS)["items"]:
            self._forget(each["metadata"]["name"])
        self.until(lambda: not asked(self.server, "GET", PODS)["items"], "all pods are gone")

    def _forget(self, name: str) -> None:
        """One that ends already may be gone by now."""
        try:
            asked(self.server, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
        except ApiFailure as error:
            if error.code != 404:
                raise

    @staticmethod
    def until(condition: Callable[[], Any], what: str) -> Any:
        return soon(condition, what)
