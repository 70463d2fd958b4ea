"""The agent's folder on a node with containers: what is in it has the modes that pods need."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from kmini import agent
from kmini.agent import AgentSettings
from kmini.errors import CommandError


def settings_in(folder: Path) -> AgentSettings:
    return AgentSettings(
        servers=("https://127.0.0.1:1",),
        token_file=None,
        kubeconfig=None,
        node_name="n1",
        data_dir=folder,
        node_port=0,
        simulate=0,
        containerd=True,
        containerd_socket=None,
        cgroup="/n1",
        overlay="host-gw",
    )


def test_other_users_of_the_node_do_not_come_by_the_files_of_pods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seen(_: agent._Process, work: object, settings: AgentSettings) -> int:
        modes.append(stat.S_IMODE(settings.folder.stat().st_mode))
        return 0

    modes: list[int] = []
    monkeypatch.setattr(agent._Process, "run", seen)
    settings = settings_in(tmp_path)
    assert agent.run(settings) == 0
    settings.folder.chmod(0o755)  # as one before us left it
    assert agent.run(settings) == 0
    assert modes == [0o700, 0o700]


def test_a_folder_that_cannot_be_closed_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("in its place")
    with pytest.raises(CommandError, match="cannot be closed to other users"):
        agent.run(settings_in(tmp_path))
