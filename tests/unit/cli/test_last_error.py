"""What is told of a daemon that ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from kmini.supervise import LOG_TAIL_BYTES, last_error

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
