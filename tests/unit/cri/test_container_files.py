"""Small files beside the logs: what is written for a container, and what is read of it, within bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from open_files import open_files

from nodeagent.runtime.container_files import (
    LOG_BYTES_MAX,
    LOG_LINES_MAX,
    MESSAGE_BYTES_MAX,
    last_words_file,
    read_last_words,
    write_files,
)
from nodeagent.runtime.interface import ContainerConfig, LastWords, Mount

FROM_FILE = LastWords(path="/dev/termination-log")
FROM_LOG = LastWords(path="/dev/termination-log", from_log=True)


def config(attempt: int = 0, **more: object) -> ContainerConfig:
    return ContainerConfig(name="main", attempt=attempt, image="web", **more)  # type: ignore[arg-type]


def said(folder: Path, wanted: LastWords = FROM_LOG, *, failed: bool = True) -> str:
    return read_last_words(wanted, last_words_file(folder, 0), folder / "0.log", failed=failed)


# --- what is written --------------------------------------------------------------------------------------


def test_nothing_is_written_for_who_wants_nothing(tmp_path: Path) -> None:
    assert write_files(tmp_path, config()) == []
    assert write_files(tmp_path, config(last_words=LastWords(path=""))) == []
    assert list(tmp_path.iterdir()) == []


def test_files_are_made_and_mounted(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        mounts = write_files(tmp_path, config(3, hosts="127.0.0.1\tlocalhost\n", last_words=LastWords(path="/m")))
    finally:
        os.umask(before)
    words = last_words_file(tmp_path, 3)
    assert mounts == [
        Mount(host_path=str(tmp_path / "hosts"), container_path="/etc/hosts"),
        Mount(host_path=str(words), container_path="/m"),
    ]
    assert (tmp_path / "hosts").read_text() == "127.0.0.1\tlocalhost\n"
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "hosts", words)]
    assert modes == [0o644, 0o666], "whoever the container runs as may speak"


def test_words_of_one_that_was_made_before_are_gone(tmp_path: Path) -> None:
    last_words_file(tmp_path, 0).write_text("old")
    write_files(tmp_path, config(last_words=FROM_FILE))
    assert last_words_file(tmp_path, 0).read_text() == ""


# --- what is read -----------------------------------------------------------------------------------------


def test_the_file_comes_first_then_the_log_of_a_failure(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_text("2026-01-01T00:00:00.0Z stdout F log\n")
    assert said(tmp_path) == "log\n"
    assert said(tmp_path, failed=False) == ""
    assert said(tmp_path, FROM_FILE) == ""
    last_words_file(tmp_path, 0).write_text("file")
    assert said(tmp_path) == said(tmp_path, FROM_FILE) == said(tmp_path, failed=False) == "file"


def test_of_a_long_file_the_end(tmp_path: Path) -> None:
    last_words_file(tmp_path, 0).write_text("x" * 1_000_000 + "end")
    assert said(tmp_path) == "x" * (MESSAGE_BYTES_MAX - 3) + "end"


def test_what_is_no_text(tmp_path: Path) -> None:
    last_words_file(tmp_path, 0).write_bytes(b"\xff\xfeok")
    assert said(tmp_path) == "\ufffd\ufffdok"


@pytest.mark.timeout(120)
def test_only_a_plain_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    path = last_words_file(tmp_path, 0)
    path.symlink_to(tmp_path / "secret")
    assert said(tmp_path) == ""
    path.unlink()
    os.mkfifo(path)
    assert said(tmp_path) == ""
    path.unlink()
    path.mkdir()
    assert said(tmp_path) == ""
    assert open_files(tmp_path) == []


def entry(text: str, kind: str = "F", stream: str = "stdout") -> str:
    return f"2026-01-01T00:00:00.000000000Z {stream} {kind} {text}\n"


def test_parts_of_a_line_are_put_together(tmp_path: Path) -> None:
    log = entry("one ", "P") + entry("line") + entry("oh no", stream="stderr") + entry("") + entry("half", "P")
    (tmp_path / "0.log").write_text(log)
    assert said(tmp_path) == "one line\noh no\n\nhalf"


def test_of_a_long_log_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_text("".join(entry(str(number)) for number in range(10_000)))
    assert said(tmp_path).splitlines() == [str(number) for number in range(10_000 - LOG_LINES_MAX, 10_000)]


def test_of_long_lines_their_end(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_text(entry("a F b c d ", "P") * 5_000 + entry("end"))
    found = said(tmp_path)
    assert len(found) == LOG_BYTES_MAX
    assert found.endswith("a F b c d end\n")


def test_what_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_bytes(b"\xff\n\n x\nstdout\n" + b"y" * 100_000)
    assert said(tmp_path) == ""
