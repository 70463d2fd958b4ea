"""What is read from /proc is what the kernel counts, and a folder never outlives its run."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from kmini.bench import process


def test_memory_of_this_process_is_plausible() -> None:
    found = process.memory(os.getpid())
    assert 1_000_000 < found.anonymous <= found.rss < 10_000_000_000


def test_written_bytes_and_processor_time_never_go_back() -> None:
    written, busy = process.written_bytes(os.getpid()), process.cpu_s(os.getpid())
    assert process.written_bytes(os.getpid()) >= written >= 0
    assert process.cpu_s(os.getpid()) >= busy > 0


def test_a_file_system_without_a_device_has_no_device_counter() -> None:
    assert process.device_written_bytes(Path("/proc")) is None


def test_ports_are_free_and_differ() -> None:
    ports = process.free_ports(6)
    assert len(set(ports)) == 6
    assert all(1024 <= port < 65536 for port in ports)


def test_a_memory_file_system_is_told_from_a_disk() -> None:
    assert process.file_system(Path("/proc")) == "proc"


def test_a_folder_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "file_system", lambda path: "tmpfs")
    with pytest.raises(OSError, match="no folder on a disk"), process.disk_folder(tmp_path):
        raise AssertionError("entered")


def test_the_folder_is_removed_after_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "file_system", lambda path: "ext4")
    seen: list[Path] = []

    def failing() -> None:
        with process.disk_folder(tmp_path) as folder:
            (folder / "file").write_text("x")
            seen.append(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert not seen[0].exists()


def sleeper(tmp_path: Path) -> process.Daemon:
    return process.Daemon("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")


def test_kill_returns_when_the_process_has_ended(tmp_path: Path) -> None:
    daemon = sleeper(tmp_path)
    daemon.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(daemon.pid, 0)
    with pytest.raises(process.ProcessDied, match=str(-signal.SIGKILL)):
        daemon.check()


def test_a_process_that_ended_by_itself_shows_its_last_words(tmp_path: Path) -> None:
    daemon = process.Daemon("short", [sys.executable, "-c", "raise SystemExit('no luck')"], tmp_path / "log")
    daemon._process.wait()
    with pytest.raises(process.ProcessDied, match="no luck"):
        daemon.check()
