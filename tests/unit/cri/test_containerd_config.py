"""What containerd is told, and which packages a node needs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from kmini.images import PAUSE

from nodeagent.errors import AgentError
from nodeagent.runtime.containerd_config import SANDBOX_IMAGE, Layout, Programs, config_text, find_programs

PROGRAMS = Programs(containerd="/usr/bin/containerd", runc="/usr/sbin/runc", cni="/usr/lib/cni")


def test_everything_lies_in_its_own_folder(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" \\ ü'
    told = tomllib.loads(config_text(Layout(folder), PROGRAMS, may_lower_oom_score=False))
    cri = told["plugins"]["io.containerd.grpc.v1.cri"]
    runc = cri["containerd"]["runtimes"]["runc"]["options"]
    paths = [
        told["root"],
        told["state"],
        told["grpc"]["address"],
        told["ttrpc"]["address"],
        cri["cni"]["conf_dir"],
        cri["registry"]["config_path"],
        runc["Root"],
    ]
    assert all(Path(each).is_relative_to(folder) for each in paths)
    assert len(set(paths)) == len(paths)
    assert cri["netns_mounts_under_state_dir"] is True
    assert runc["BinaryName"] == "/usr/sbin/runc"


def test_the_oom_score_is_lowered_only_with_the_right_to(tmp_path: Path) -> None:
    for right in (True, False):
        told = tomllib.loads(config_text(Layout(tmp_path), PROGRAMS, may_lower_oom_score=right))
        assert told["plugins"]["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"] is not right


def test_the_sandbox_image_is_ours() -> None:
    assert SANDBOX_IMAGE == PAUSE


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_every_package_that_is_missing_is_named(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "containerd")
    with pytest.raises(AgentError, match="apt-get install runc containernetworking-plugins"):
        find_programs(searched=[str(tmp_path / "bin")], cni_folders=[str(tmp_path / "cni")])


def test_what_is_there_is_found(tmp_path: Path) -> None:
    for name in ("containerd", "runc"):
        executable(tmp_path / "bin" / name)
    for name in ("bridge", "host-local", "loopback", "portmap"):
        executable(tmp_path / "cni" / name)
    executable(tmp_path / "half" / "bridge")
    found = find_programs(searched=[str(tmp_path / "bin")], cni_folders=[str(tmp_path / "half"), str(tmp_path / "cni")])
    assert found == Programs(
        containerd=str(tmp_path / "bin/containerd"), runc=str(tmp_path / "bin/runc"), cni=str(tmp_path / "cni")
    )
