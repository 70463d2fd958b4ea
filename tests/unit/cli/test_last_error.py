"""What is told of a daemon that ended."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from kmini.errors import CommandError
from kmini.supervise import LOG_TAIL_BYTES, Daemon, last_error

RECORD = '{"level": "info", "message": "leading"}'
READY = "n1 is ready: member 1 of cluster 2"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([READY, "error: the port is taken", RECORD], "the port is taken"),
        (["error: first", "error: second"], "second"),
        ([RECORD, "Traceback ...", "MemoryError"], "MemoryError"),
        ([RECORD], "it gave no reason: see {log}"),
        ([RECORD, READY], "it gave no reason: see {log}"),
        ([], "it gave no reason: see {log}"),
    ],
)
def test_its_last_word(tmp_path: Path, lines: list[str], told: str) -> None:
    log = tmp_path / "server.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    assert last_error(log, 0) == told.format(log=log)


def test_not_what_another_one_said_before(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("error: of yesterday\n")
    before = log.stat().st_size
    log.write_text(log.read_text() + RECORD + "\n")
    assert last_error(log, before) == f"it gave no reason: see {log}"
    log.write_text("error: long ago\n" + "x" * LOG_TAIL_BYTES)
    assert "long ago" not in last_error(log, 0)
    assert last_error(tmp_path / "none", 0) == f"there is no {tmp_path / 'none'}"


def test_who_was_killed_cannot_say_so_and_is_spoken_for(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.touch()
    with subprocess.Popen(["sleep", "60"]) as process:
        daemon = Daemon(what="the agent", pid=process.pid, log=log, log_start=0)
        process.kill()
        with pytest.raises(CommandError, match=r"^the agent ended by signal 9 \(Killed\): it gave no reason"):
            asyncio.run(daemon.failed())
    with pytest.raises(CommandError, match=r"^the agent ended: it gave no reason"):
        asyncio.run(daemon.failed())
