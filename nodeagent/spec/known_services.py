"""The Services whose addresses containers get as variables: those of the API, or, before it has answered an agent that
started anew, those that were there last. So a container can start again while the API is away.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from apiserver.api.core.service import Service
from apiserver.client import Change, Informer
from nodeagent.errors import AgentError
from nodeagent.identity import write_file

log = logging.getLogger(__name__)

EVERY_S = 30.0  # at most so often it is written: Services come in bursts
_FILE_BYTES_MAX = 16 << 20


class KnownServices:
    """`run` notes them in `path`; the informer is run by whoever made it."""

    def __init__(self, informer: Informer[Service], path: Path) -> None:
        self._informer = informer
        self._path = path
        self._remembered: list[Service] | None = None
        self._changed = asyncio.Event()
        informer.add_handler(self._notice)

    def of(self, namespace: str) -> list[Service] | None:
        """None when nothing is known at all."""
        if self._informer.synced.is_set():
            return self._informer.cache.in_namespace(namespace)
        if self._remembered is None:
            self._remembered = _read(self._path)
        if self._remembered is None:
            return None
        return [each for each in self._remembered if each.metadata.namespace == namespace]

    async def run(self) -> None:
        await self._informer.synced.wait()
        self._remembered = None
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            data = msgspec.json.encode(list(self._informer.cache))
            try:
                await asyncio.to_thread(_write, self._path, data)
            except (AgentError, OSError) as error:
                log.warning("Services were not noted", extra={"error": str(error)})
            await asyncio.sleep(EVERY_S)

    def _notice(self, _: Change[Service]) -> None:
        self._changed.set()


def _write(path: Path, data: bytes) -> None:
    """Not when it says so already: flash lives longer. Raises AgentError."""
    if not path.is_file() or path.stat().st_size != len(data) or path.read_bytes() != data:
        write_file(path, data)


def _read(path: Path) -> list[Service] | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_FILE_BYTES_MAX), type=list[Service])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("what was known of Services cannot be read", extra={"file": str(path), "error": str(error)})
        return None
