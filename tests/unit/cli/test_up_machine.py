"""What `kmini up` looks at before it starts anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from kmini.errors import CommandError
from kmini.layout import Layout, RunningAgent, owned_agent
from kmini.options import DEFAULT_DATA_DIR
from kmini.up import machine
from kmini.up.ending import remove_node
from ports import free_ports

from nodeagent.runtime import cgroups


def refusal(check: Callable[[], object]) -> str:
    with pytest.raises(CommandError) as caught:
        check()
    return str(caught.value)


def test_all_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine, "missing_packages", lambda: ["containerd", "runc"])
    monkeypatch.setattr(machine, "SEARCHED", [str(tmp_path)])
    monkeypatch.setattr(machine, "BUSYBOX", tmp_path / "busybox")
    message = refusal(machine.check_containers)
    assert message.startswith("real containers need root and the packages containerd runc nftables busybox-static: ")
    assert "`make up` as root" in message
    assert "`kmini up --runtime fake`" in message


def test_control_groups_must_be_there_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "_packages", list)
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [Path("/")])
    monkeypatch.setattr(os, "access", lambda *_: True)
    machine.check_containers()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "need control groups that can be written to" in refusal(machine.check_containers)


@pytest.fixture
def containerd(tmp_path: Path) -> Iterator[Path]:
    """The data directory of a node whose containerd seems to run in our network."""
    data_dir = tmp_path / "there"
    code = "import sys; print(flush=True); sys.stdin.read()"
    config = data_dir / "agent" / "containerd" / "config.toml"
    command, pipe = [sys.executable, "-c", code, "--config", str(config)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield data_dir
        process.stdin.close()


def test_another_node_in_this_network_is_named(containerd: Path, tmp_path: Path) -> None:
    message = refusal(partial(machine.check_alone, Layout(tmp_path / "here")))
    assert message.startswith(f"{containerd} has a node with containers in this network")
    assert f"kmini down --data-dir {containerd}" in message
    link = tmp_path / "link"
    link.symlink_to(containerd)
    for own in (containerd, link):
        machine.check_alone(Layout(own))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run what is another user's")
def test_nobody_else_can_name_a_folder_for_root_to_end(tmp_path: Path) -> None:
    config = tmp_path / "theirs" / "agent" / "containerd" / "config.toml"
    command, pipe = ["/bin/sh", "-c", "echo; read x", "sh", "--config", str(config)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, user=65534, cwd="/") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        machine.check_alone(Layout(tmp_path / "here"))
        process.stdin.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have files of others")
def test_what_another_user_wrote_names_no_process_or_group_for_root_to_end(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    said = RunningAgent(pid=os.getpid(), node="n", runtime="containerd", private=True, group="/", boot_id="")
    with owned_agent(layout) as file:
        file.announce(said)
        assert layout.running_agent() == said
        os.chown(layout.agent_file, 65534, 65534)
        assert "is not its owner's" in refusal(layout.running_agent)
    assert layout.running_agent() is None
    assert "nothing that it tells of is ended" in refusal(partial(remove_node, layout, said, warn=print))


def test_ports_must_differ_and_be_free() -> None:
    one, other = free_ports(2)
    machine.check_ports({"--api-port": one, "--peer-port": other})
    with pytest.raises(CommandError, match="--api-port and --node-port must differ"):
        machine.check_ports({"--api-port": one, "--peer-port": other, "--node-port": one})
    with (
        socket.create_server(("127.0.0.1", one)),
        pytest.raises(CommandError, match=f"--api-port {one} cannot be used"),
    ):
        machine.check_ports({"--api-port": one})


def test_a_node_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "Box-7.example.org")
    assert machine.node_name(layout) == "box-7"
    monkeypatch.setattr(socket, "gethostname", lambda: "under_score")
    assert machine.node_name(layout) == "node"
    with owned_agent(layout) as file:
        file.announce(RunningAgent(pid=1, node="was", runtime="fake", private=False, group="/x", boot_id=""))
    assert layout.running_agent() is None
    assert machine.node_name(layout) == "was"


def test_each_data_directory_has_its_control_group(tmp_path: Path) -> None:
    groups = {machine.group_of(Layout(each)) for each in (DEFAULT_DATA_DIR, tmp_path / "a", tmp_path / "b")}
    assert len(groups) == 3
    assert "/kmini" in groups
    assert machine.group_of(Layout(tmp_path / "a")) in groups
