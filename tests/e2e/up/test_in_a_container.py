"""`kmini up` where the data lies on an overlay, as inside of a container: no overlay can be put on that."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from upped import Upped, machine

from nodeagent.runtime.snapshotter import COPIES, OVERLAY, snapshotter_for


@pytest.fixture
def contained(containers: None) -> Iterator[Upped]:
    with machine() as outer:
        folders = {name: outer.folder / name for name in ("lowerdir", "upperdir", "workdir", "merged")}
        for folder in folders.values():
            folder.mkdir()
        merged = folders.pop("merged")
        options = ",".join(f"{name}={folder}" for name, folder in folders.items())
        assert snapshotter_for(outer.folder) == OVERLAY
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
        inner = Upped(merged)
        try:
            yield inner
        finally:
            inner.run("down")
            subprocess.run(["umount", merged], check=True)


def test_layers_are_copied_and_the_sample_answers(contained: Upped) -> None:
    assert snapshotter_for(contained.folder) == COPIES
    assert list(contained.folder.iterdir()) == [], "nothing is left of the trial"
    assert " answers: hello-" in contained.up()
    contained.down()
