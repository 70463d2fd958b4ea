"""How people look into pods with kubectl: `debug` and `describe`."""

from __future__ import annotations

import subprocess
from typing import Any

from container_agent import container
from kmini.images import SAMPLE
from kubectl_shell import Shell
from pods_place import PodsPlace


def ephemeral(place: PodsPlace, name: str) -> dict[str, Any]:
    """The state of the last one."""
    found = place.status(name).get("ephemeralContainerStatuses", ())
    state: dict[str, Any] = found[-1]["state"] if found else {}
    return state


def output(place: PodsPlace, name: str, which: str) -> str:
    uid = place.get(name)["metadata"]["uid"]
    log = place.host.folder / "agent" / "logs" / f"default_{name}_{uid}" / which / "0.log"
    return log.read_text() if log.exists() else ""


def test_kubectl_debug_sees_the_processes_of_the_container_it_is_about(place: PodsPlace, every_kubectl: Shell) -> None:
    place.make("odd", container("main", "sleep 54321; true"))
    place.runs("odd")
    look = "until ps | grep -q [s]leep; do sleep 0.1; done; ps; hostname"
    every_kubectl.ok(f"debug odd --image={SAMPLE} --target=main -c look -- sh -c '{look}'")
    place.until(lambda: ephemeral(place, "odd").get("terminated"), "the look has ended")
    assert ephemeral(place, "odd")["terminated"]["exitCode"] == 0
    said = output(place, "odd", "look")
    assert "sleep 54321" in said
    assert said.rstrip().endswith(" odd"), "in the pod's own namespaces"
    every_kubectl.ok(f"debug odd --image={SAMPLE} -c alone -- ps")
    place.until(lambda: len(place.status("odd")["ephemeralContainerStatuses"]) == 2, "the second one is shown")
    place.until(lambda: ephemeral(place, "odd").get("terminated"), "the second look has ended")
    assert "sleep 54321" not in output(place, "odd", "alone"), "without a target it sees its own"
    status = place.container("odd")
    assert (status["restartCount"], status["ready"]) == (0, True)


def test_kubectl_debug_may_be_talked_to(place: PodsPlace, every_kubectl: Shell) -> None:
    """As long as the input is open: an ephemeral container's outlives who is attached, and the output goes with it.

    A runtime passes on what comes in before what goes out, so it is spoken to once it is heard.
    """
    place.make("asked", container("main", "sleep 1000"))
    place.runs("asked")
    script = "while :; do echo waits; sleep 0.2; done & read line; echo got $line; exit 7"
    command = [
        "timeout",
        "200",
        str(every_kubectl.kubectl.path),
        "debug",
        "-i",
        "asked",
        f"--image={SAMPLE}",
        "-c",
        "talk",
    ]
    with subprocess.Popen(
        [*command, "--", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=every_kubectl.environment,
    ) as talking:
        assert talking.stdin is not None
        assert talking.stdout is not None
        assert "waits\n" in talking.stdout
        talking.stdin.write("something\n")
        talking.stdin.flush()
        assert "got something\n" in talking.stdout
    place.until(lambda: ephemeral(place, "asked").get("terminated"), "the talk has ended")
    assert ephemeral(place, "asked")["terminated"]["exitCode"] == 7


def test_describe_tells_the_story_of_a_pod_and_of_the_node(place: PodsPlace, every_kubectl: Shell) -> None:
    name = f"story-{every_kubectl.kubectl.minor}"
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    place.make(name, container("main", "sleep 1000", readinessProbe=probe))
    story = (
        ("Scheduled", "default-scheduler", f"Successfully assigned default/{name} to {place.host.name}"),
        ("Pulled", "kubelet", f'Container image "{SAMPLE}" already present on machine'),
        ("Created", "kubelet", "Created container: main"),
        ("Started", "kubelet", "Started container main"),
        ("Unhealthy", "kubelet", "Readiness probe failed:"),
    )
    for reason, _, words in story:  # several tell it, each in its own time
        place.has_event(name, reason, words)
    described = every_kubectl.ok(f"describe pod {name}")
    for reason, teller, words in story:
        assert any(all(each in line for each in (reason, teller, words)) for line in described.splitlines()), described
    listed = every_kubectl.ok(f"get events -o wide --field-selector involvedObject.name={name},reason=Started")
    assert "spec.containers{main}" in listed
    assert f"kubelet, {place.host.name}" in listed
    wanted = ("NodeReady", "Starting kubelet.")

    def told() -> bool:
        node = every_kubectl.ok(f"describe node {place.host.name}")
        return all(words in node for words in wanted)

    place.until(told, f"the node's story: {wanted}")
