"""A mark is on the disk while an image may be unpacked and is not synced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cri_server import CriServer, runtime_of

from nodeagent.runtime.gen import cri_pb2 as pb
from nodeagent.runtime.rpc import Connection
from nodeagent.runtime.unpacked import UnpackedLayers


def layers_of(folder: Path) -> tuple[UnpackedLayers, Path]:
    root = folder / "root"
    root.mkdir()
    return UnpackedLayers(Connection(folder / "socket"), root), folder / "unpacking"


def test_a_mark_is_there_until_an_image_is_synced_and_never_again_for_it(tmp_path: Path) -> None:
    async def work() -> None:
        layers, mark = layers_of(tmp_path)
        async with layers.of("image"):
            assert mark.exists()
        assert not mark.exists()
        async with layers.of("image"):
            assert not mark.exists()
        async with layers.of("other"):
            assert mark.exists()

    asyncio.run(work())


def test_a_mark_stays_when_unpacking_fails(tmp_path: Path) -> None:
    async def work() -> None:
        layers, mark = layers_of(tmp_path)
        with pytest.raises(ValueError, match="cut off"):
            async with layers.of("image"):
                raise ValueError("cut off")
        assert mark.exists()
        async with layers.of("image"):
            assert mark.exists()
        assert not mark.exists()

    asyncio.run(work())


def test_an_image_that_was_removed_is_marked_when_it_is_pulled_again(tmp_path: Path) -> None:
    root, mark, marked = tmp_path / "root", tmp_path / "unpacking", []
    root.mkdir()

    class Server(CriServer):
        def PullImage(self, request: pb.PullImageRequest) -> pb.PullImageResponse:  # the CRI's name
            marked.append(mark.exists())
            return pb.PullImageResponse(image_ref="sha256:1")

    async def work() -> None:
        runtime = runtime_of(tmp_path, layers=root)
        async with Server().on(tmp_path / "socket"):
            await runtime.pull_image("registry.test/image:1")
            await runtime.remove_image("sha256:1")
            await runtime.pull_image("registry.test/image:1")
        await runtime.close()

    asyncio.run(work())
    assert marked == [True, True]
