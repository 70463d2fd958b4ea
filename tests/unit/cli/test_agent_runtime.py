"""The images that every node has, when its disk takes no more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import IO, Any

import pytest
from cri_server import runtime_of
from kmini import agent_runtime
from kmini.agent_runtime import RuntimeSettings
from kmini.errors import CommandError

from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.interface import Image, RuntimeFailure, Unavailable

FULL = RuntimeFailure("write meta.db: no space left on device")


@pytest.mark.parametrize(
    ("failure", "there", "starts"), [(FULL, True, True), (FULL, False, False), (Unavailable("gone"), True, False)]
)
def test_a_full_disk_keeps_no_node_from_its_work_that_has_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: RuntimeFailure, there: bool, starts: bool
) -> None:
    async def refused(_runtime: CriRuntime, _archive: IO[bytes]) -> list[str]:
        raise failure

    async def image(_runtime: CriRuntime, name: str, **_: Any) -> Image | None:
        return Image(id="sha256:1", names=(name,)) if there else None

    async def started() -> None:
        async with agent_runtime.open_runtime(settings):
            pass

    monkeypatch.setattr(agent_runtime, "import_archive", refused)
    monkeypatch.setattr(agent_runtime, "make_runtime", lambda _: runtime_of(tmp_path))
    monkeypatch.setattr(CriRuntime, "image", image)
    settings = RuntimeSettings(
        node="n1", folder=tmp_path, images=tmp_path / "images", socket=tmp_path / "socket", group="/kmini-test"
    )
    if starts:
        asyncio.run(started())
    else:
        with pytest.raises(CommandError, match=failure.message):
            asyncio.run(started())
