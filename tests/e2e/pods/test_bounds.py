"""What a container may do and take: its user, rights and files, its share of CPU and memory."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from container_agent import container
from image_archives import as_docker_saves
from kmini.agent_runtime import make_runtime
from kmini.images import sample_archive
from pods_place import PodsPlace

from nodeagent.runtime.imports import import_archive

STATUS = "grep -E '^(Uid|Gid|Groups|CapEff|NoNewPrivs|Seccomp):' /proc/self/status"
ALL_CAPABILITIES = 0x1FFFFFFFFFF


def fields(lines: list[str]) -> dict[str, str]:
    """Of /proc/self/status."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def run(place: PodsPlace, name: str, script: str, own: dict[str, Any], **spec: Any) -> list[str]:
    place.make(name, container("main", script, securityContext=own), restartPolicy="Never", **spec)
    return place.said(name)


def test_as_whom_it_runs(place: PodsPlace) -> None:
    shared = {"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [3000], "fsGroup": 4000}
    found = fields(run(place, "pods", STATUS, {}, securityContext=shared))
    assert (found["Uid"].split()[0], found["Gid"].split()[0]) == ("1000", "2000")
    assert {"3000", "4000"} <= set(found["Groups"].split())
    found = fields(run(place, "own", STATUS, {"runAsUser": 1001, "runAsGroup": 2001}, securityContext=shared))
    assert (found["Uid"].split()[0], found["Gid"].split()[0]) == ("1001", "2001")
    assert fields(run(place, "group", STATUS, {"runAsGroup": 7}))["Gid"].split()[0] == "7"


def image_of_user(place: PodsPlace, name: str, user: str) -> str:
    """The sample image for somebody else, imported into the node's containerd."""

    async def work() -> None:
        runtime = make_runtime(place.host.settings)
        try:
            await import_archive(runtime, io.BytesIO(as_docker_saves(sample_archive(), name, user=user)))
        finally:
            await runtime.close()

    asyncio.run(work())
    return name


def test_as_whom_its_image_runs(place: PodsPlace) -> None:
    number = {"image": image_of_user(place, "registry.test/number:1", "1234:2345"), "imagePullPolicy": "Never"}
    place.make(
        "number", container("main", STATUS) | number, restartPolicy="Never", securityContext={"runAsNonRoot": True}
    )
    found = fields(place.said("number"))
    assert (found["Uid"].split()[0], found["Gid"].split()[0]) == ("1234", "2345")
    own = container("main", STATUS, securityContext={"runAsGroup": 7}) | number
    place.make("grouped", own, restartPolicy="Never")
    found = fields(place.said("grouped"))
    assert (found["Uid"].split()[0], found["Gid"].split()[0]) == ("1234", "7")
    named = {"image": image_of_user(place, "registry.test/named:1", "somebody"), "imagePullPolicy": "Never"}
    place.make("named", container("main", STATUS) | named, securityContext={"runAsNonRoot": True})
    message = place.waits("named", "CreateContainerConfigError")["message"]
    assert message.startswith("container has runAsNonRoot and image has non-numeric user (somebody), cannot verify")


def test_capabilities(place: PodsPlace) -> None:
    plain = int(fields(run(place, "usual", STATUS, {}))["CapEff"], 16)
    assert 0 < plain.bit_count() < 20
    none = fields(run(place, "none", STATUS, {"capabilities": {"drop": ["ALL"]}}))
    assert int(none["CapEff"], 16) == 0
    net = fields(run(place, "net", STATUS, {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}))
    assert int(net["CapEff"], 16) == 1 << 12


def test_a_privileged_one(place: PodsPlace) -> None:
    script = f"{STATUS}; ls /dev/kmsg; mkdir /mnt; mount -t tmpfs none /mnt && echo mounted"
    lines = run(place, "strong", script, {"privileged": True})
    assert int(fields(lines)["CapEff"], 16).bit_count() > 30
    assert "/dev/kmsg" in lines
    assert "mounted" in lines
    assert "mounted" not in run(place, "weak", "mkdir /mnt; mount -t tmpfs none /mnt && echo mounted", {})


def test_no_more_rights_than_its_parent(place: PodsPlace) -> None:
    assert fields(run(place, "flat", STATUS, {"allowPrivilegeEscalation": False}))["NoNewPrivs"] == "1"
    assert fields(run(place, "usual", STATUS, {}))["NoNewPrivs"] == "0"


def test_what_of_the_kernel_is_masked(place: PodsPlace) -> None:
    """Whatever is masked reads as nothing; what is read-only cannot be written, whoever tries."""
    script = "cat /proc/timer_list | wc -c; echo 1 > /proc/sys/kernel/panic || echo refused; ls /sys/firmware | wc -l"
    assert run(place, "masked", script, {}) == ["0", "refused", "0"]


def test_a_root_that_cannot_be_written(place: PodsPlace) -> None:
    script = "touch /x 2>/dev/null || echo refused; echo words > /dev/termination-log && echo said"
    assert run(place, "fixed", script, {"readOnlyRootFilesystem": True}) == ["refused", "said"]
    assert run(place, "free", "touch /x && echo done", {}) == ["done"]


def test_system_calls(place: PodsPlace) -> None:
    profile = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}'
    folder = place.host.folder / "agent" / "seccomp"
    folder.mkdir(exist_ok=True)
    (folder / "no-folders.json").write_text(profile)
    local = {"type": "Localhost", "localhostProfile": "no-folders.json"}
    script = f"mkdir /tmp/x 2>/dev/null || mkdir /x || echo refused; {STATUS}"
    lines = run(place, "local", script, {"seccompProfile": local})
    assert "refused" in lines
    assert fields(lines)["Seccomp"] == "2"
    assert fields(run(place, "default", STATUS, {"seccompProfile": {"type": "RuntimeDefault"}}))["Seccomp"] == "2"
    assert fields(run(place, "any", STATUS, {}))["Seccomp"] == "0"


def test_confined_or_not_at_all(place: PodsPlace) -> None:
    local = {"type": "Localhost", "localhostProfile": "nowhere.json"}
    place.make("strict", container("main", "id", securityContext={"seccompProfile": local}))
    assert "cannot load seccomp profile" in place.waits("strict", "CreateContainerError")["message"]


# --- control groups ---------------------------------------------------------------------------------------


def test_shares_of_cpu_and_memory(place: PodsPlace) -> None:
    resources = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    script = "cat /proc/1/oom_score_adj; sleep 1000"
    place.make("bounded", container("main", script, resources=resources), container("free", "sleep 1000"))
    status = place.runs("bounded")
    assert status["qosClass"] == "Burstable"
    index = [each["name"] for each in status["containerStatuses"]].index("main")
    cpu_pod, cpu = place.groups("bounded", "cpu", index)
    _, memory = place.groups("bounded", "memory", index)
    if (cpu / "cpu.shares").exists():
        assert (cpu / "cpu.shares").read_text() == "256\n"
        assert (cpu_pod / "cpu.shares").read_text() == "256\n"
        assert (cpu / "cpu.cfs_quota_us").read_text() == "50000\n"
        assert (cpu / "cpu.cfs_period_us").read_text() == "100000\n"
    else:
        assert (cpu / "cpu.max").read_text() == "50000 100000\n"
        assert (cpu / "cpu.weight").read_text() == "10\n"
        assert (cpu_pod / "cpu.weight").read_text() == "10\n"
    limit = next(each for each in (memory / "memory.limit_in_bytes", memory / "memory.max") if each.exists())
    assert limit.read_text() == f"{64 << 20}\n"
    swap = memory / "memory.memsw.limit_in_bytes"
    assert not swap.exists() or swap.read_text() == f"{64 << 20}\n", "no way round it"


def test_a_pod_as_a_whole(place: PodsPlace) -> None:
    whole = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "48Mi"}}
    eat = container("main", "x=x; while :; do x=$x$x; done")
    place.make("whole", eat, container("other", "sleep 1000"), resources=whole, restartPolicy="Never")
    assert place.ended("whole")["exitCode"] == 137


@pytest.mark.parametrize(
    ("name", "resources", "quality"),
    [
        ("best", {}, "BestEffort"),
        ("sure", {"limits": {"cpu": "100m", "memory": "64Mi"}}, "Guaranteed"),
        ("burst", {"requests": {"memory": "64Mi"}}, "Burstable"),
    ],
)
def test_who_dies_first(place: PodsPlace, name: str, resources: dict[str, Any], quality: str) -> None:
    place.make(name, container("main", "cat /proc/1/oom_score_adj", resources=resources), restartPolicy="Never")
    (score,) = place.said(name)
    assert place.status(name)["qosClass"] == quality
    if quality == "BestEffort":
        assert int(score) == 1000
    elif quality == "Burstable":
        assert 900 < int(score) < 1000
    else:
        assert int(score) <= 0, "-997, where the node may lower it"
