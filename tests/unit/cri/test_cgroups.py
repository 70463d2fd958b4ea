"""Where control groups are: v1, v2, and both at once."""

from __future__ import annotations

import os
from pathlib import Path

from nodeagent.runtime import cgroups
from nodeagent.runtime.interface import Resources


def machine(folder: Path, *lines: str) -> Path:
    """A file as /proc/self/mounts, of hierarchies in this folder."""
    mounts = folder / "mounts"
    mounts.write_text("".join(line.replace("/sys/fs/cgroup", str(folder)) + "\n" for line in lines))
    return mounts


def hybrid(folder: Path) -> Path:
    for name in ("cpu", "cpuset", "unified"):
        (folder / name).mkdir()
    (folder / "cpuset" / "cpuset.cpus").write_text("0-1\n")
    return machine(
        folder,
        "proc /proc proc rw 0 0",
        "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu,cpuacct 0 0",
        "cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0",
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0",
        "cgroup2 /somewhere/else cgroup2 rw,relatime 0 0",
    )


def test_a_group_has_a_folder_in_each_hierarchy(tmp_path: Path) -> None:
    found = cgroups.groups("/n1/kubepods", hybrid(tmp_path))
    assert found == [tmp_path / name / "n1/kubepods" for name in ("cpu", "cpuset", "unified")]


def test_mounts_are_read_once(tmp_path: Path) -> None:
    """Containers add lines by the hundred, and each pod asks."""
    mounts = hybrid(tmp_path)
    found = cgroups.groups("/n1", mounts)
    mounts.unlink()
    assert cgroups.groups("/n1", mounts) == found


def test_a_process_is_not_put_into_a_cpuset_of_v1(tmp_path: Path) -> None:
    found = cgroups.joinable("/n1/containerd", hybrid(tmp_path))
    assert found == [tmp_path / name / "n1/containerd" for name in ("cpu", "unified")]


def test_v2_alone(tmp_path: Path) -> None:
    mounts = machine(tmp_path, "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0")
    assert cgroups.joinable("/n1/containerd", mounts) == [tmp_path / "n1/containerd"]


def test_groups_are_removed_with_those_below_them(tmp_path: Path) -> None:
    mounts = hybrid(tmp_path)
    for folder in cgroups.groups("/n1/kubepods/pod1", mounts):
        (folder / "container").mkdir(parents=True)
    (tmp_path / "cpu/n1/kubepods/pod2").mkdir()
    assert cgroups.remove("/n1/kubepods/pod1", mounts)
    assert [each.name for each in sorted(tmp_path.glob("*/n1/kubepods/*"))] == ["pod2"]
    assert cgroups.remove("/n1/kubepods/pod1", mounts)


def test_one_that_is_in_use_stays(tmp_path: Path) -> None:
    mounts = hybrid(tmp_path)
    busy = tmp_path / "cpu/n1/kubepods/pod1/container"
    busy.mkdir(parents=True)
    (busy / "cgroup.procs").write_text("1\n")  # a folder with a file cannot be removed either
    (tmp_path / "unified/n1/kubepods/pod1").mkdir(parents=True)
    assert not cgroups.remove("/n1/kubepods/pod1", mounts, within_s=0)
    assert busy.exists()
    assert not (tmp_path / "unified/n1/kubepods/pod1").exists()


V1 = ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "memory.limit_in_bytes")
V2 = ("cpu.weight", "cpu.max", "memory.max")


def with_group(folder: Path) -> Path:
    """A machine where `/n1` is, of v1 and of v2."""
    mounts = hybrid(folder)
    for name, files in (("cpu", V1), ("unified", V2)):
        (folder / name / "n1").mkdir()
        for file in files:
            (folder / name / "n1" / file).write_text("old")
    return mounts


def texts(folder: Path) -> dict[str, str]:
    found = [*(folder / "cpu/n1").iterdir(), *(folder / "unified/n1").iterdir()]
    return {each.name: each.read_text() for each in found}


def test_what_a_pod_may_use(tmp_path: Path) -> None:
    mounts = with_group(tmp_path)
    cgroups.bound("/n1", Resources(cpu_shares=512), mounts)
    assert texts(tmp_path) == dict.fromkeys(V1 + V2, "old") | {"cpu.shares": "512", "cpu.weight": "20"}
    cgroups.bound("/n1", Resources(cpu_period_us=100_000, cpu_quota_us=50_000, memory_limit=1 << 20), mounts)
    assert texts(tmp_path) == {
        "cpu.shares": "512",
        "cpu.weight": "20",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "cpu.max": "50000 100000",
        "memory.limit_in_bytes": "1048576",
        "memory.max": "1048576",
    }
    assert not (tmp_path / "cpuset/n1").exists()
    cgroups.bound("/none", Resources(cpu_shares=512), mounts)


def test_what_is_so_already_stays_untouched(tmp_path: Path) -> None:
    mounts = with_group(tmp_path)
    wanted = Resources(cpu_shares=512, cpu_period_us=100_000, cpu_quota_us=50_000, memory_limit=(1 << 20) + 1)
    cgroups.bound("/n1", wanted, mounts)
    assert texts(tmp_path)["memory.max"] == str(1 << 20), "whole pages, as the kernel says it"
    files = [*(tmp_path / "cpu/n1").iterdir(), *(tmp_path / "unified/n1").iterdir()]
    for each in files:
        each.write_text(each.read_text() + "\n")
        os.utime(each, (1, 1))
    (tmp_path / "cpu/n1/cpu.shares").write_text("2\n")
    cgroups.bound("/n1", wanted, mounts)
    assert [each.name for each in files if each.stat().st_mtime != 1] == ["cpu.shares"]
    assert texts(tmp_path)["cpu.shares"] == "512"


def test_the_weights_of_v2_are_within_what_the_kernel_takes(tmp_path: Path) -> None:
    mounts = with_group(tmp_path)
    for shares, expected in ((2, "1"), (262_144, "10000")):
        cgroups.bound("/n1", Resources(cpu_shares=shares), mounts)
        assert texts(tmp_path)["cpu.weight"] == expected


def test_who_counts_memory(tmp_path: Path) -> None:
    mounts = hybrid(tmp_path)
    assert not cgroups.memory_is_v2(mounts)
    controllers = tmp_path / "unified" / "cgroup.controllers"
    controllers.write_text("cpu hugetlb\n")
    assert not cgroups.memory_is_v2(mounts)
    controllers.write_text("cpu memory pids\n")
    assert cgroups.memory_is_v2(mounts)
