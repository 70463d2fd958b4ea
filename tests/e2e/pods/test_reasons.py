"""Why a pod does not run, in Kubernetes' words: what people look for when they read `kubectl describe pod`."""

from __future__ import annotations

from pathlib import Path

import pytest
from container_agent import container
from kubectl_binaries import MISSING, binaries
from kubectl_shell import Shell
from pods_place import PodsPlace

NOBODY_THERE = "127.0.0.1:1/team/web:1"


def test_a_container_that_ends_again_and_again(place: PodsPlace) -> None:
    place.make("crashes", container("main", "exit 3"))
    waiting = place.waits("crashes", "CrashLoopBackOff")
    uid = place.get("crashes")["metadata"]["uid"]
    assert waiting["message"] == f"back-off 10s restarting failed container=main pod=crashes_default({uid})"
    ended = place.ended_before("crashes")
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert place.status("crashes")["phase"] == "Running"
    words = f"Back-off restarting failed container main in pod crashes_default({uid})"
    place.has_event("crashes", "BackOff", words)


def test_a_container_that_takes_more_memory_than_it_may(place: PodsPlace) -> None:
    limits = {"limits": {"memory": "16Mi"}}
    place.make("eats", container("main", "x=x; while :; do x=$x$x; done", resources=limits), restartPolicy="Never")
    ended = place.ended("eats")
    place.until(lambda: place.ended("eats")["reason"] == "OOMKilled", "the reason")
    assert ended["exitCode"] == 137
    place.until(lambda: place.status("eats")["phase"] == "Failed", "the end of the pod")


def test_a_container_that_is_never_ready(place: PodsPlace) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    place.make("hidden", container("main", "sleep 1000", readinessProbe=probe))
    status = place.runs("hidden")
    conditions = {each["type"]: each for each in status["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("False", "ContainersNotReady")
    assert conditions["Ready"]["message"] == "containers with unready status: [main]"
    place.has_event("hidden", "Unhealthy", "Readiness probe failed")
    assert place.container("hidden")["ready"] is False


def test_an_image_that_cannot_be_had(place: PodsPlace) -> None:
    place.make("lost", {"name": "main", "image": NOBODY_THERE})
    assert NOBODY_THERE in place.waits("lost", "ErrImagePull")["message"]
    backing_off = place.waits("lost", "ImagePullBackOff")
    assert backing_off["message"].startswith(f'Back-off pulling image "{NOBODY_THERE}": ErrImagePull: ')
    assert place.status("lost")["phase"] == "Pending"
    place.has_event("lost", "Failed", f'Failed to pull image "{NOBODY_THERE}"')
    place.has_event("lost", "Failed", "Error: ErrImagePull")
    place.has_event("lost", "BackOff", f'Back-off pulling image "{NOBODY_THERE}"')


def test_an_image_that_may_not_be_pulled(place: PodsPlace) -> None:
    place.make("never", {"name": "main", "image": NOBODY_THERE, "imagePullPolicy": "Never"})
    waiting = place.waits("never", "ErrImageNeverPull")
    assert waiting["message"] == f'Container image "{NOBODY_THERE}" is not present with pull policy of Never'


def test_a_name_that_no_image_can_have(place: PodsPlace) -> None:
    place.make("misspelt", {"name": "main", "image": "Team/Web"})
    waiting = place.waits("misspelt", "InvalidImageName")
    assert waiting["message"] == (
        'Failed to apply default image tag "Team/Web": couldn\'t parse image name "Team/Web": '
        "invalid reference format: repository name (Web) must be lowercase"
    )
    place.has_event("misspelt", "InspectFailed", "Failed to apply default image tag")


def test_a_command_that_is_not_there(place: PodsPlace) -> None:
    bad = container("main", "") | {"command": ["/no/such"]}
    place.make("confused", bad)
    assert "/no/such" in place.waits("confused", "RunContainerError")["message"]
    place.waits("confused", "CrashLoopBackOff")
    ended = place.ended_before("confused")
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "/no/such" in ended["message"]
    place.has_event("confused", "Failed", "Error: ")


def test_settings_that_are_not_there_yet(place: PodsPlace) -> None:
    ref = {"configMapKeyRef": {"name": "settings", "key": "color"}}
    place.make("early", container("main", "sleep 1000", env=[{"name": "COLOR", "valueFrom": ref}]))
    assert place.waits("early", "CreateContainerConfigError")["message"] == 'configmap "settings" not found'
    place.has_event("early", "Failed", 'Error: configmap "settings" not found')
    place.create("configmaps", "settings", data={"size": "9", "color": "blue"})
    place.runs("early")


def test_a_pod_that_must_not_be_root(place: PodsPlace) -> None:
    place.make("root", container("main", "id"), securityContext={"runAsNonRoot": True})
    waiting = place.waits("root", "CreateContainerConfigError")
    uid = place.get("root")["metadata"]["uid"]
    where = f'(pod: "root_default({uid})", container: main)'
    assert waiting["message"] == f"container has runAsNonRoot and image will run as root {where}"


def test_a_kernel_parameter_that_is_not_the_pods(place: PodsPlace) -> None:
    sysctls = [{"name": "vm.swappiness", "value": "0"}]
    place.make("bold", container("main", "id"), securityContext={"sysctls": sysctls})
    place.until(lambda: place.status("bold").get("phase") == "Failed", "the node refuses it")
    status = place.status("bold")
    assert status["reason"] == "SysctlForbidden"
    assert status["message"] == 'Pod was rejected: forbidden sysctl: "vm.swappiness" not allowlisted'


def described(shell: Shell, name: str) -> str:
    """What `kubectl describe pod` says, with one space between words."""
    return "\n".join(" ".join(line.split()) for line in shell.ok(f"describe pod {name}").splitlines())


def test_as_people_see_it(place: PodsPlace, tmp_path: Path) -> None:
    found = binaries()
    if not found:
        pytest.skip(MISSING)
    shell = Shell(found[0], place.server.data_dir / "kubeconfig", tmp_path / "shell")
    limits = {"limits": {"memory": "16Mi"}}
    place.make("eats", container("main", "sleep 1; x=x; while :; do x=$x$x; done", resources=limits))
    waiting = "State: Waiting\nReason: CrashLoopBackOff\n"
    killed = "Last State: Terminated\nReason: OOMKilled\nExit Code: 137\n"
    event = "Back-off restarting failed container main"

    def waits() -> str:
        text = described(shell, "eats")
        return text if all(each in text for each in (waiting, killed, event)) else ""

    text = place.until(waits, "it waits, which it does between two starts, and what is known of it is told")
    assert "QoS Class: Burstable" in text


# --- last words -------------------------------------------------------------------------------------------


def test_last_words(place: PodsPlace) -> None:
    from_log = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    long = "head -c 9000 /dev/zero | tr '\\0' x > /dev/termination-log; printf end >> /dev/termination-log"
    scripts = [
        container("main", "printf 'no money left' > /dev/termination-log; exit 4"),
        container("quiet", "echo working; echo gone wrong; exit 5", **from_log),
        container("well", "echo all is well", **from_log),
        container("own", "printf here > /var/message", terminationMessagePath="/var/message"),
        container("long", long),
    ]
    place.make("talks", *scripts, restartPolicy="Never")
    messages = {each["name"]: place.ended("talks", each["name"]).get("message", "") for each in scripts}
    assert messages.pop("long") == "x" * (12 * 1024 // 5)
    assert messages == {"main": "no money left", "quiet": "working\ngone wrong\n", "well": "", "own": "here"}


def test_last_words_of_who_is_nobody(place: PodsPlace) -> None:
    script = "printf bye > /dev/termination-log"
    place.make("humble", container("main", script), restartPolicy="Never", securityContext={"runAsUser": 4321})
    assert place.ended("humble")["message"] == "bye"
