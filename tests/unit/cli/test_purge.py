"""`kmini down --purge` removes what is kmini's, and nothing of anybody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from kmini import supervise
from kmini.errors import CommandError
from kmini.layout import Layout


@pytest.fixture
def used(tmp_path: Path) -> Layout:
    """A data directory with something of each."""
    layout = Layout(tmp_path / "data")
    for folder in (layout.raft, layout.run, layout.agent / "containerd", layout.images):
        folder.mkdir(parents=True)
    layout.token.write_text("secret")
    (layout.images / "mine.tar").write_text("x")
    return layout


def test_archives_stay(used: Layout) -> None:
    supervise.purge(used)
    assert list(used.data_dir.iterdir()) == [used.images]
    assert (used.images / "mine.tar").exists()


def test_a_link_is_removed_and_not_what_it_leads_to(used: Layout, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (used.data_dir / "volumes").symlink_to(precious)
    (used.agent / "link").symlink_to(precious)
    supervise.purge(used)
    assert (precious / "file").exists()
    assert not (used.data_dir / "volumes").is_symlink()
    assert not used.agent.exists()


def test_nothing_goes_while_something_is_mounted_in_there(used: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [str(used.data_dir), str(used.agent / "pods" / "x")]
    monkeypatch.setattr(supervise, "mounts_under", lambda _: mounts)
    with pytest.raises(CommandError, match=f"{mounts[1]} is mounted: unmount it first; nothing was removed"):
        supervise.purge(used)
    assert used.token.exists()
    mounts.pop()
    supervise.purge(used)  # itself a mount: that is its owner's choice
    assert not used.token.exists()


def test_mounts_are_found_through_links(tmp_path: Path) -> None:
    assert "/proc" in supervise.mounts_under(Path("/"))
    link = tmp_path / "link"
    link.symlink_to("/proc")
    assert supervise.mounts_under(link) == supervise.mounts_under(Path("/proc")) != []
    assert supervise.mounts_under(tmp_path) == []
