"""The shipped systemd units: they start what there is, with flags that exist, and do no harm to containers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kmini.cli import LazyGroup, root
from kmini.layout import Layout
from kmini.options import DEFAULT_DATA_DIR
from kmini.up.machine import group_of

UNITS = Path(__file__).resolve().parents[3] / "packaging" / "systemd"
PROGRAM = "/usr/local/bin/kmini"
#: Each of these gives a unit's processes, and their children, a mount namespace or a filter of system calls.
SETS_APART = re.compile(
    r"Protect|Private|ReadOnly|ReadWrite|Inaccessible|Restrict|SystemCall|NoNew|Bind|Root|Lock|Temp"
)


def settings_of(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / f"kmini-{unit}.service").read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", ["server", "agent"])
def test_it_runs_the_command_with_flags_that_there_are(unit: str) -> None:
    settings = settings_of(unit)
    assert settings["ExecStart"] == [f"{PROGRAM} {unit}"]
    assert settings["EnvironmentFile"] == [f"-/etc/kmini/{unit}.env"]
    assert isinstance(root, LazyGroup)
    command = root.get_command(root.make_context("kmini", [], resilient_parsing=True), unit)
    assert command is not None
    known = {each.envvar for each in command.params if isinstance(each.envvar, str)}
    given = dict(each.split("=", 1) for line in settings["Environment"] for each in line.split())
    assert set(given) <= known
    required = {each.envvar for each in command.params if each.required}
    assert required <= set(given)


def test_both_live_where_kmini_up_lives() -> None:
    for unit in ("server", "agent"):
        assert f"KMINI_DATA_DIR={DEFAULT_DATA_DIR}" in " ".join(settings_of(unit)["Environment"])
        assert settings_of(unit)["StateDirectory"] == [DEFAULT_DATA_DIR.name]
    assert f"KMINI_CGROUP={group_of(Layout(DEFAULT_DATA_DIR))}" in " ".join(settings_of("agent")["Environment"])


def test_containers_outlive_the_agent_and_share_the_machines_mounts() -> None:
    settings = settings_of("agent")
    assert settings["KillMode"] == ["process"]
    assert settings["Delegate"] == ["yes"]
    assert [key for key in settings if SETS_APART.match(key)] == []


def test_a_daemon_that_kmini_down_ended_is_not_started_again() -> None:
    for unit in ("server", "agent"):
        assert settings_of(unit)["Restart"] == ["on-failure"]


@pytest.mark.parametrize("unit", ["server", "agent"])
def test_systemd_finds_nothing_wrong(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    name = f"kmini-{unit}.service"
    text = (UNITS / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(text.replace(PROGRAM, "/bin/true"), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if name in line]
    assert said == []
    assert done.returncode == 0, done.stderr
