"""A mark is on the disk while an image may be unpacked and is not synced."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from cri_server import CriServer, runtime_of

from nodeagent.runtime import unpacked
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


def test_every_pull_is_marked_for_its_name_may_lead_to_another_image(tmp_path: Path) -> None:
    root, mark, marked = tmp_path / "root", tmp_path / "unpacking", []
    root.mkdir()
    found = iter(["sha256:1", "sha256:1", "sha256:2"])

    class Server(CriServer):
        def PullImage(self, request: pb.PullImageRequest) -> pb.PullImageResponse:  # the CRI's name
            marked.append(mark.exists())
            return pb.PullImageResponse(image_ref=next(found))

    async def work() -> None:
        runtime = runtime_of(tmp_path, layers=root)
        async with Server().on(tmp_path / "socket"):
            for image in ("sha256:1", "sha256:1", "sha256:2"):
                assert await runtime.pull_image("registry.test/image:latest") == image
                assert not mark.exists()
        await runtime.close()

    asyncio.run(work())
    assert marked == [True, True, True]


def test_an_image_that_was_pulled_is_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(unpacked, "_sync", synced.append)

    async def work() -> None:
        layers, mark = layers_of(tmp_path)

        async def pull() -> str:
            return "sha256:1"

        for _ in range(2):
            assert await layers.pulled(pull) == "sha256:1"
        async with layers.of("sha256:1"):
            assert not mark.exists()
        assert len(synced) == 1

    asyncio.run(work())


def test_what_fails_while_another_image_is_synced_leaves_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        layers, mark = layers_of(tmp_path)
        loop = asyncio.get_running_loop()
        begun, may_end = asyncio.Event(), threading.Event()

        def sync(_: Path) -> None:
            loop.call_soon_threadsafe(begun.set)
            may_end.wait(60)

        monkeypatch.setattr(unpacked, "_sync", sync)

        async def unpack() -> None:
            async with layers.of("good"):
                pass

        unpacking = asyncio.create_task(unpack())
        await begun.wait()
        with pytest.raises(ValueError, match="cut off"):
            async with layers.of("bad"):
                raise ValueError("cut off")
        may_end.set()
        await unpacking
        assert mark.exists()

    asyncio.run(work())
