"""Reading across files: all of it, the last lines, and what comes while files are put aside."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from container_logs import put_log_aside, raw_line
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.runtime import log_files
from nodeagent.runtime.log_files import next_aside, open_all, put_aside, remove_all
from nodeagent.server import log_reader
from nodeagent.server.log_lines import LogLines, ends_line
from nodeagent.server.log_reader import SETTLE_S, LogReader

lines = st.lists(st.tuples(st.text("ab c", max_size=12), st.booleans()), max_size=12)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(folder: Path, files: Sequence[bytes]) -> Path:
    log = folder / "0.log"
    for content in files[:-1]:
        log.write_bytes(content)
        put_log_aside(log)
    log.write_bytes(files[-1])
    return log


def everything(reader: LogReader) -> bytes:
    found = b""
    while data := reader.read():
        found += data
    return found + reader.rest()


def last(raw: list[bytes], count: int) -> bytes:
    """What a reader of all raw lines would take for the last lines."""
    ends = [number for number, line in enumerate(raw) if ends_line(line)]
    if len(ends) <= count:
        return b"".join(raw)
    return b"".join(raw[ends[-count - 1] + 1 :])


@settings(deadline=None)
@given(st.lists(lines, min_size=1, max_size=4), st.integers(0, 20), st.integers(1, 60))
def test_the_last_lines_across_files(files: list[list[tuple[str, bool]]], count: int, block: int) -> None:
    raw = [[raw_line(text, part=part) for text, part in each] for each in files]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reader, "BLOCK_BYTES", block)
        log = make(Path(folder), [b"".join(each) for each in raw])
        reader = LogReader(log)
        assert everything(reader) == b"".join(line for each in raw for line in each)
        reader.close()
        reader = LogReader(log)
        reader.seek_last(count)
        assert everything(reader) == last([line for each in raw for line in each], count)
        reader.close()


def test_a_line_without_its_newline(tmp_path: Path) -> None:
    log = make(tmp_path, [raw_line("a") + raw_line("torn")[:-1], raw_line("b") + raw_line("c")[:-1]])
    reader = LogReader(log)
    assert LogLines().shown(everything(reader)) == b"a\ntorn\nb\nc"
    reader.close()
    reader = LogReader(log)
    reader.seek_last(1)
    assert LogLines().shown(everything(reader)) == b"c"
    reader.close()


def test_nothing_is_read_that_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of a large file takes one block, not the file."""
    log = make(tmp_path, [b"".join(raw_line(f"line {number}") for number in range(50_000))])
    asked: list[int] = []
    plain = log_reader._read_whole

    def counted(file: object, size: int) -> bytes:
        asked.append(size)
        return plain(file, size)  # type: ignore[arg-type]  # only what is asked for here

    monkeypatch.setattr(log_reader, "_read_whole", counted)
    reader = LogReader(log)
    reader.seek_last(1)
    assert sum(asked) <= log_reader.BLOCK_BYTES
    assert LogLines().shown(everything(reader)) == b"line 49999\n"
    reader.close()


def test_what_is_written_on_while_a_file_is_put_aside_is_not_lost(tmp_path: Path) -> None:
    clock = Clock()
    log = make(tmp_path, [raw_line("1")])
    writer = log.open("ab", buffering=0)
    reader = LogReader(log, clock=clock)
    assert everything(reader) == raw_line("1")
    assert not reader.look_for_newer()
    put_log_aside(log)
    writer.write(raw_line("2"))
    assert not reader.look_for_newer(), "the runtime has not opened a new one"
    assert reader.read() == raw_line("2")
    log.write_bytes(raw_line("4"))
    assert reader.look_for_newer()
    writer.write(raw_line("3"))
    assert reader.read() == raw_line("3"), "it still wrote into the old one"
    assert reader.read() == b""
    assert reader.look_for_newer()
    assert reader.read() == b"", "not yet"
    clock.now += SETTLE_S
    assert reader.look_for_newer()
    assert reader.read() == raw_line("4")
    assert reader.read() == b""
    assert not reader.look_for_newer()
    reader.close()
    writer.close()


def test_several_files_put_aside_at_once_are_read_in_order(tmp_path: Path) -> None:
    clock = Clock()
    log = make(tmp_path, [raw_line("1")])
    reader = LogReader(log, clock=clock)
    before = reader.state
    for number in ("2", "3", "4"):
        put_log_aside(log)
        log.write_bytes(raw_line(number))
    assert reader.state != before, "a name that is taken away is seen"
    put_aside(log)[0].unlink()  # the one that is read: what is open is there
    assert reader.read() == raw_line("1")
    assert reader.read() == b""
    assert reader.look_for_newer()
    clock.now += SETTLE_S
    assert reader.look_for_newer()
    assert everything(reader) == b"".join(map(raw_line, ("2", "3", "4")))
    reader.close()


def test_old_files_are_left_out(tmp_path: Path) -> None:
    import os

    log = make(tmp_path, [raw_line("1"), raw_line("2"), raw_line("3")])
    for at, path in enumerate((*put_aside(log), log)):
        os.utime(path, (1000 + at, 1000 + at))
    reader = LogReader(log)
    reader.skip_older(1001)
    assert everything(reader) == raw_line("2") + raw_line("3")
    reader.close()
    reader = LogReader(log)
    reader.skip_older(5000)
    assert everything(reader) == raw_line("3"), "the last one may get more"
    reader.close()


def test_a_line_that_does_not_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "LINE_BYTES_MAX", 100)
    monkeypatch.setattr(log_reader, "BLOCK_BYTES", 64)
    log = make(tmp_path, [raw_line("x" * 1000) + raw_line("after")])
    reader = LogReader(log)
    text = LogLines().shown(everything(reader))
    assert text.startswith(b"xxx")
    assert text.endswith(b"x\nafter\n")
    assert len(text) < 200
    reader.close()


def test_files_are_opened_with_none_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is put aside after it was listed and before it was opened."""
    log = make(tmp_path, [raw_line("1"), raw_line("2")])
    plain = log_files.open_log
    done: list[Path] = []

    def opened(path: Path) -> object:
        if path == log and not done:
            done.append(path)
            put_log_aside(log)
            log.write_bytes(raw_line("3"))
        return plain(path)

    monkeypatch.setattr(log_files, "open_log", opened)
    files = open_all(log)
    assert b"".join(file.read() for file in files) == b"".join(map(raw_line, ("1", "2", "3")))
    for file in files:
        file.close()


def test_files_that_are_put_aside_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = make(tmp_path, [raw_line("1")])
    plain = log_files.open_log

    def opened(path: Path) -> object:
        if path == log:
            put_log_aside(log)
            log.write_bytes(b"")
        return plain(path)

    monkeypatch.setattr(log_files, "open_log", opened)
    with pytest.raises(OSError, match="faster than it can be opened"):
        open_all(log)


def test_names_and_removal(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    with pytest.raises(FileNotFoundError):
        open_all(log)
    for name in ("0.log", "0.log.9", "0.log.10", "0.log.x", "10.log", "10.log.1"):
        (tmp_path / name).write_bytes(b"")
    assert [each.name for each in put_aside(log)] == ["0.log.9", "0.log.10"]
    assert next_aside(log).name == "0.log.11"
    remove_all(log)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0.log.x", "10.log", "10.log.1"]
    assert put_aside(tmp_path / "none" / "0.log") == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(raw_line("secret"))
    (tmp_path / "0.log").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        LogReader(tmp_path / "0.log")
