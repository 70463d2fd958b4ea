"""Which address a node has, also when no way leads to any server."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeagent import node_address as module
from nodeagent.node_address import FILE_NAME, node_address

OUTWARD = "198.51.100.7"


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """From a host to the address by which we would go there; to others no way leads."""
    found: dict[str, str] = {}

    def way_to(host: str) -> str:
        if host not in found:
            raise OSError(101, "Network is unreachable")
        return found[host]

    monkeypatch.setattr(module, "_way_to", way_to)
    return found


def address(folder: Path, *hosts: str) -> str:
    return node_address(hosts, folder, outward=lambda: OUTWARD)


def test_it_is_the_one_that_leads_to_a_server(tmp_path: Path, ways: dict[str, str]) -> None:
    ways["second"] = "192.0.2.2"
    assert address(tmp_path, "first", "second") == "192.0.2.2", "any of them will do"
    ways["first"] = "127.0.0.1"
    assert address(tmp_path, "first", "second") == OUTWARD, "others reach us elsewhere"


def test_the_last_one_is_remembered(tmp_path: Path, ways: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    ways["first"] = "192.0.2.2"
    address(tmp_path, "first")
    ways["first"] = "192.0.2.3"
    address(tmp_path, "first")
    ways.clear()
    assert address(tmp_path, "first") == "192.0.2.3"
    assert [record.getMessage() for record in caplog.records] == [
        "no way leads to a server: the node has its last address"
    ]


@pytest.mark.parametrize("damage", [None, b"", b"nothing\n", b"\xff"])
def test_nothing_is_made_up(tmp_path: Path, ways: dict[str, str], damage: bytes | None) -> None:
    if damage is not None:
        (tmp_path / FILE_NAME).write_bytes(damage)
    with pytest.raises(OSError, match="unreachable"):
        address(tmp_path, "first")
    ways["first"] = "192.0.2.2"
    assert address(tmp_path, "first") == "192.0.2.2"
    ways.clear()
    assert address(tmp_path, "first") == "192.0.2.2"


def test_it_is_written_when_it_changed(tmp_path: Path, ways: dict[str, str]) -> None:
    ways["first"] = "192.0.2.2"
    address(tmp_path, "first")
    written = (tmp_path / FILE_NAME).stat()
    address(tmp_path, "first")
    assert (tmp_path / FILE_NAME).stat().st_ino == written.st_ino  # it was read meanwhile, which its times may tell
