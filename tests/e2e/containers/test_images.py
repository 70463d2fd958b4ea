"""What lies in DIR/images is there when the node is, and what is no image there hurts nobody."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import tarfile

import pytest
from container_host import Host
from kmini.agent_runtime import open_runtime
from kmini.images import PAUSE, SAMPLE, sample_archive


def as_docker_saves(archive: bytes, *names: str) -> bytes:
    """The same image in docker's form."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = {each.name: file.read() for each in opened if each.isfile() and (file := opened.extractfile(each))}

    def follow(descriptor: dict[str, str]) -> bytes:
        return files[f"blobs/{descriptor['digest'].replace(':', '/')}"]

    index = json.loads(follow(json.loads(files["index.json"])["manifests"][0]))
    manifest = json.loads(follow(index["manifests"][0]))
    image = {"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}
    content = {
        "manifest.json": json.dumps([image]).encode(),
        "config.json": follow(manifest["config"]),
        "layer.tar": follow(manifest["layers"][0]),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


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
