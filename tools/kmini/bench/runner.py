"""One member of our cluster in a process of its own, for the benchmark: a store, its etcd face, and the loads.

Standard input is one end of a socket pair. Each line asks one thing in JSON, `{"do": NAME, ...}`, and is
answered by one line, `{"ok": ANSWER}` or `{"error": TEXT}`. When the other end hangs up the member ends, so
that no process outlives its benchmark. Loop, certificates and options are those of `kmini server`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from apiserver.auth import pki
from kmini import certificates
from raftstore import Credentials, Store, StoreConfig
from raftstore.errors import StoreError
from raftstore.etcd.adapter import StoreBackend
from raftstore.identity import PeerIdentity

from . import loads
from .plain_face import PlainEtcdServer
from .side import PROBE_KEY

log = logging.getLogger(__name__)

_ANSWERS_TIMEOUT_S = 2.0


class Settings(msgspec.Struct, frozen=True):
    """What `ours` writes for each member. `folder` is shared by all; ports are of 127.0.0.1."""

    name: str
    folder: str
    peers: dict[str, str]
    face_port: int


def store_config(settings: Settings) -> StoreConfig:
    """The product's defaults for everything but name and places."""
    shared, folder = Path(settings.folder, "ca"), Path(settings.folder, settings.name)
    own = folder / "pki"

    def credentials_for(identity: PeerIdentity) -> Credentials:
        pki.copy_shared(shared, own)
        certificates.issue_peer(own, identity.cluster_id, identity.member_id)
        return Credentials(
            authority=own / "peer-ca.crt",
            certificate=own / f"{certificates.PEER}.crt",
            key=own / f"{certificates.PEER}.key",
        )

    return StoreConfig(name=settings.name, data_dir=folder, peers=settings.peers, credentials_for=credentials_for)


class Member:
    """Answers the questions of one control connection."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._questions: dict[str, Callable[..., Awaitable[Any]]] = {
            "opened": self._opened,
            "answers": self._answers,
            "leads": self._leads,
            "put_latency": loads.put_latency,
            "put_rate": loads.put_rate,
            "get_rate": loads.get_rate,
            "fill": self._fill,
            "range_latency": loads.range_latency,
            "watch_latency": loads.watch_latency,
            "first_put": loads.first_put,
        }

    async def _opened(self, store: Store) -> bool:
        return True

    async def _answers(self, store: Store) -> bool:
        """Whether a linearizable read is answered, which says that this member has caught up."""
        try:
            async with asyncio.timeout(_ANSWERS_TIMEOUT_S):
                await store.get(PROBE_KEY)
        except (StoreError, TimeoutError):
            return False
        return True

    async def _leads(self, store: Store) -> bool:
        status = store.status()
        return status.leader == status.member_id

    async def _fill(self, store: Store, prefix: str, count: int) -> float:
        return await loads.fill(store, prefix.encode(), count)

    async def answer(self, line: bytes) -> bytes:
        question = json.loads(line)
        name = question.pop("do")
        try:
            answer: dict[str, Any] = {"ok": await self._questions[name](self._store, **question)}
        except Exception as error:
            log.exception("question failed: %s", name)
            answer = {"error": f"{type(error).__name__}: {error}"}
        return json.dumps(answer).encode() + b"\n"


async def serve(settings: Settings) -> None:
    """Open the store, listen, and answer questions until the other end hangs up or a SIGTERM comes."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=0))
    async with await Store.open(store_config(settings)) as store:
        face = PlainEtcdServer(StoreBackend(store), settings.face_port)
        await face.start()
        try:
            member = Member(store)
            while line := await reader.readline():
                writer.write(await member.answer(line))
        finally:
            await face.stop()


def main() -> None:
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(serve(settings))
        except asyncio.CancelledError:
            log.info("asked to end")


if __name__ == "__main__":
    main()
