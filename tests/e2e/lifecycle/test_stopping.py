"""How real containers start and end: hooks, signals, and their order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from container_agent import PODS, asked, container
from kubectl_shell import Shell
from pods_place import PodsPlace

POLITE = "trap 'echo TERM; exit 0' TERM; echo up; while :; do sleep 0.1; done"


def say(words: str, after: str = "true") -> dict[str, Any]:
    """A hook that writes to the container's own output."""
    return {"exec": {"command": ["sh", "-c", f"{after}; echo {words} > /proc/1/fd/1"]}}


@contextmanager
def kept(place: PodsPlace, shell: Shell, name: str, *containers: dict[str, Any], **spec: Any) -> Iterator[None]:
    """A pod whose object, and so its logs, stays when it has ended."""
    place.make(name, *containers, **spec)
    finalizers(shell, name, ["test.kmini.local/look"])
    try:
        place.runs(name)
        yield
    finally:
        finalizers(shell, name, None)


def finalizers(shell: Shell, name: str, wanted: list[str] | None) -> None:
    body = json.dumps({"metadata": {"finalizers": wanted}})
    shell.ok(f"patch pod {name} --type=merge -p '{body}'")


def written(place: PodsPlace, name: str) -> list[tuple[str, str]]:
    """What the containers of a pod said, in the order in which they did."""
    uid = place.get(name)["metadata"]["uid"]
    folder = place.host.folder / "agent" / "logs" / f"default_{name}_{uid}"
    lines = [(line, log.parent.name) for log in folder.glob("*/0.log") for line in log.read_text().splitlines()]
    return [(name, line.split(" ", 3)[3]) for line, name in sorted(lines)]


def delete(place: PodsPlace, name: str) -> None:
    asked(place.server, "DELETE", f"{PODS}/{name}")


def ended(place: PodsPlace, name: str) -> bool:
    status = place.status(name)
    found = [*status.get("initContainerStatuses", ()), *status["containerStatuses"]]
    return all("terminated" in each["state"] for each in found)


def test_hooks_signals_and_sidecars_have_their_order(place: PodsPlace, shell: Shell) -> None:
    main = container("main", POLITE, lifecycle={"preStop": say("stopping", after="sleep 1")})
    beside = container("beside", POLITE, restartPolicy="Always", lifecycle={"preStop": say("stopping")})
    with kept(place, shell, "polite", main, initContainers=[beside], terminationGracePeriodSeconds=30):
        place.until(lambda: len(written(place, "polite")) == 2, "both are up")
        delete(place, "polite")
        place.until(lambda: ended(place, "polite"), "all has ended")
        assert written(place, "polite") == [
            ("beside", "up"),
            ("main", "up"),
            ("main", "stopping"),
            ("main", "TERM"),
            ("beside", "stopping"),
            ("beside", "TERM"),
        ]
        assert place.container("polite")["state"]["terminated"]["exitCode"] == 0


def test_a_signal_of_the_pods_choice(place: PodsPlace, shell: Shell) -> None:
    script = "trap 'echo USR1; exit 5' USR1; trap 'echo TERM; exit 6' TERM; echo up; while :; do sleep 0.1; done"
    ignores = "trap '' USR1; trap 'echo TERM; exit 6' TERM; echo up; while :; do sleep 0.1; done"
    by_choice = {"lifecycle": {"stopSignal": "SIGUSR1"}}
    containers = container("main", script) | by_choice, container("deaf", ignores) | by_choice
    with kept(place, shell, "chosen", *containers, terminationGracePeriodSeconds=4, os={"name": "linux"}):
        place.until(lambda: len(written(place, "chosen")) == 2, "both are up")
        delete(place, "chosen")
        place.until(lambda: ended(place, "chosen"), "it has ended")
        assert sorted(written(place, "chosen")) == [("deaf", "up"), ("main", "USR1"), ("main", "up")]
        assert place.container("chosen")["state"]["terminated"]["exitCode"] == 5
        assert place.container("chosen", "deaf")["state"]["terminated"]["exitCode"] == 137


def test_a_hook_and_a_deaf_container_share_the_grace_period(place: PodsPlace, shell: Shell) -> None:
    deaf = container("main", "trap '' TERM; while :; do sleep 0.1; done")
    pause = {"lifecycle": {"preStop": {"sleep": {"seconds": 3}}}}
    with kept(place, shell, "deaf", deaf | pause, terminationGracePeriodSeconds=6):
        began = time.monotonic()
        delete(place, "deaf")
        place.until(lambda: ended(place, "deaf"), "it is killed")
        took = time.monotonic() - began
        assert place.container("deaf")["state"]["terminated"]["exitCode"] == 137
        assert 5 < took < 9, "not 3 s and 6 s more"


def test_who_has_no_time_interrupts_a_hook(place: PodsPlace, shell: Shell) -> None:
    slow = container("main", POLITE, lifecycle={"preStop": say("never", after="sleep 600")})
    with kept(place, shell, "slow", slow, terminationGracePeriodSeconds=700):
        delete(place, "slow")
        place.has_event("slow", "Killing", "Stopping container main")
        began = time.monotonic()
        shell.ok("delete pod slow --now --wait=false")
        place.until(lambda: ended(place, "slow"), "it has ended")
        assert time.monotonic() - began < 15
        assert written(place, "slow") == [("main", "up"), ("main", "TERM")]


def test_a_start_hook_runs_in_the_container_and_its_failure_ends_it(place: PodsPlace) -> None:
    good = container("main", "until test -f /greeted; do sleep 0.1; done; echo greeted")
    touch = {"lifecycle": {"postStart": {"exec": {"command": ["touch", "/greeted"]}}}}
    place.make("greeted", good | touch, restartPolicy="Never")
    assert place.said("greeted") == ["greeted"]
    bad = {"lifecycle": {"postStart": {"exec": {"command": ["cat", "/none"]}}}}
    place.make("unwelcome", container("main", POLITE) | bad)
    place.waits("unwelcome", "CrashLoopBackOff")
    words = "PostStartHook failed: command 'cat /none' exited with 1: cat: can't open '/none'"
    place.has_event("unwelcome", "FailedPostStartHook", words)


def test_a_start_hook_may_ask_the_container(place: PodsPlace) -> None:
    server = {"name": "main", "image": "kmini.local/sample:latest", "ports": [{"name": "web", "containerPort": 8080}]}
    after = {"exec": {"command": ["sh", "-c", "until wget -qO- 127.0.0.1:8080; do sleep 0.1; done"]}}
    ask = {"httpGet": {"port": "web"}}
    place.make("asks", server | {"lifecycle": {"postStart": after, "preStop": ask}}, terminationGracePeriodSeconds=5)
    place.runs("asks")
    delete(place, "asks")
    place.until(lambda: "asks" not in names(place), "the pod is gone")
    assert not [each for each in place.events("asks") if each[0] == "FailedPreStopHook"]


def names(place: PodsPlace) -> list[str]:
    return [each["metadata"]["name"] for each in asked(place.server, "GET", PODS)["items"]]
