"""What is ready stays ready while its node's agent is killed and starts anew."""

from __future__ import annotations

from typing import Any

from container_agent import agent_of, container, server_of
from container_host import Host
from pods_place import PodsPlace


def condition(place: PodsPlace, name: str) -> dict[str, Any]:
    found = {each["type"]: each for each in place.status(name).get("conditions", ())}
    ready: dict[str, Any] = found.get("Ready", {})
    return ready


def questions(place: PodsPlace, name: str) -> int:
    uid = place.get(name)["metadata"]["uid"]
    log = place.host.folder / "agent" / "logs" / f"default_{name}_{uid}" / "main" / "0.log"
    return log.read_text().count("asked")


def test_a_new_agent_takes_nobody_out_of_service(host: Host) -> None:
    question = {"exec": {"command": ["sh", "-c", "echo asked > /proc/1/fd/1"]}}
    probe = question | {"periodSeconds": 3, "timeoutSeconds": 60}  # on a slow machine too it is answered
    with server_of(host) as server:
        place = PodsPlace(host, server)
        with agent_of(host, server) as first:
            place.make("served", container("main", "sleep 1000", readinessProbe=probe, startupProbe=probe))
            place.until(lambda: condition(place, "served").get("status") == "True", "the pod is ready")
            before = condition(place, "served")
            first.kill()
            first.wait()
        asked = questions(place, "served")
        with agent_of(host, server):
            place.until(lambda: questions(place, "served") > asked + 1, "the new agent asks as well")
            assert condition(place, "served") == before
            assert place.container("served")["restartCount"] == 0
            place.forget()
