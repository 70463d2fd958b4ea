"""One server per data directory, and how the others find it."""

from __future__ import annotations

from pathlib import Path

import pytest
from kmini.errors import CommandError
from kmini.layout import Layout, Running, owned


def running(name: str = "n1") -> Running:
    return Running(pid=7, name=name, bind="0.0.0.0", peer_port=1, etcd_port=2, api_port=3)


def test_nothing_runs_in_an_empty_directory(tmp_path: Path) -> None:
    assert Layout(tmp_path).running() is None


def test_a_server_is_found_while_it_holds_the_directory_and_not_after(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with owned(layout) as file:
        assert layout.running() is None  # locked, nothing said yet
        file.announce(running("a-much-longer-name"))
        file.announce(running())
        assert layout.running() == running()
    assert layout.server_file.exists()
    assert layout.running() is None


def test_looking_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with owned(layout):
        pass
    with layout.server_file.open("rb"):
        assert layout.running() is None
        with owned(layout) as file:
            file.announce(running())


def test_a_second_server_is_refused_by_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with owned(layout) as file:
        file.announce(running())
        with pytest.raises(CommandError, match="process 7"), owned(layout):
            pytest.fail("the directory was taken twice")
        assert layout.running() == running()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(CommandError, match=str(tmp_path)), owned(Layout(tmp_path)):
        pytest.fail("there is no such directory")


@pytest.mark.parametrize(("bind", "host"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.7", "10.0.0.7")])
def test_an_address_to_reach_it_on_this_machine(bind: str, host: str) -> None:
    assert Running(pid=1, name="n", bind=bind, peer_port=1, etcd_port=2, api_port=3).host == host
