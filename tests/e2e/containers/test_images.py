"""What lies in DIR/images is there when the node is, and what is no image there hurts nobody."""

from __future__ import annotations

import asyncio
import logging

import pytest
from container_host import Host
from image_archives import as_docker_saves
from kmini.agent_runtime import open_runtime
from kmini.images import PAUSE, SAMPLE, sample_archive


def test_archives_are_imported_when_the_node_starts(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    folder = host.settings.images
    folder.mkdir()
    (folder / "team.tar.gz").write_bytes(as_docker_saves(sample_archive(), "team/web:1", "registry.test/web:2"))
    (folder / "bad.tar").write_bytes(b"no archive")
    (folder / "README").write_text("for people")

    async def work() -> None:
        async with open_runtime(host.settings) as runtime:
            found = {name: await runtime.image(name) for name in (PAUSE, SAMPLE, "team/web:1", "registry.test/web:2")}
            assert None not in found.values()
            listed = {name for each in await runtime.list_images() for name in each.names}
            assert {PAUSE, SAMPLE, "docker.io/team/web:1", "registry.test/web:2"} <= listed

    with caplog.at_level(logging.ERROR):
        asyncio.run(work())
    (told,) = [each for each in caplog.records if each.message == "an archive was not imported"]
    assert str(folder / "bad.tar") in vars(told)["archive"]
