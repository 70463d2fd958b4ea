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


def wait_up(place: PodsPlace, name: str) -> None:
    """It runs before its shell has set its traps."""
    place.until(lambda: written(place, name) == [("main", "up")], f"{name} is up")


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
        said = written(place, "polite")
        assert sorted(said[:2]) == [("beside", "up"), ("main", "up")]  # each says so when its shell gets to it
        assert said[2:] == [
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
    linux = {"os": {"name": "linux"}}
    hears, deaf = container("main", script) | by_choice, container("main", ignores) | by_choice
    with (
        kept(place, shell, "hears", hears, terminationGracePeriodSeconds=100, **linux),
        kept(place, shell, "deaf", deaf, terminationGracePeriodSeconds=3, **linux),
    ):
        for name in ("hears", "deaf"):
            wait_up(place, name)
            delete(place, name)
        place.until(lambda: ended(place, "hears") and ended(place, "deaf"), "both have ended")
        assert written(place, "hears") == [("main", "up"), ("main", "USR1")]
        assert written(place, "deaf") == [("main", "up")]
        assert place.container("hears")["state"]["terminated"]["exitCode"] == 5
        assert place.container("deaf")["state"]["terminated"]["exitCode"] == 137


def test_a_hook_and_a_deaf_container_share_the_grace_period(place: PodsPlace, shell: Shell) -> None:
    deaf = container("main", "trap '' TERM; while :; do sleep 0.1; done")
    pause = {"lifecycle": {"preStop": {"sleep": {"seconds": 15}}}}
    with kept(place, shell, "deaf", deaf | pause, terminationGracePeriodSeconds=18):
        began = time.monotonic()
        delete(place, "deaf")
        place.until(lambda: ended(place, "deaf"), "it is killed")
        took = time.monotonic() - began
        assert place.container("deaf")["state"]["terminated"]["exitCode"] == 137
        assert 17 < took < 33, "not 15 s and 18 s more"


def test_who_shortens_the_time_interrupts_a_hook(place: PodsPlace, shell: Shell) -> None:
    slow = container("main", POLITE, lifecycle={"preStop": say("never", after="sleep 6000")})
    with kept(place, shell, "slow", slow, terminationGracePeriodSeconds=7000):
        wait_up(place, "slow")
        delete(place, "slow")
        place.has_event("slow", "Killing", "Stopping container main")
        shell.ok("delete pod slow --grace-period=3000 --wait=false")
        place.until(lambda: ended(place, "slow"), "it has ended, and has not had its hook's time")
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
    place.make("asks", server | {"lifecycle": {"postStart": after, "preStop": ask}}, terminationGracePeriodSeconds=60)
    place.runs("asks")
    delete(place, "asks")
    place.until(lambda: "asks" not in names(place), "the pod is gone")
    assert not [each for each in place.events("asks") if each[0] == "FailedPreStopHook"]


def names(place: PodsPlace) -> list[str]:
    return [each["metadata"]["name"] for each in asked(place.server, "GET", PODS)["items"]]
