"""What the node knew last of Services, their endpoints and the other nodes, on its disk: for an agent that starts while
the API is away, above all after the power was lost, when the kernel has neither rules nor routes.

It is a memory, not a truth: until the API is heard of, an endpoint on another node may be long gone, and a stale one is
better than none. Of this node's own pods it is known how they are (`said`): one that started anew has another address,
which takes the place of the old one once it is ready, and one that has no network now has no endpoint.

What must hold: nothing is recalled while the API answers; the file is whole or not there, is written only when
something changed, and one that cannot be used is as none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod, PodStatus
from apiserver.api.core.service import Service
from apiserver.api.discovery import Endpoint, EndpointConditions, EndpointSlice
from apiserver.api.meta import TopObject
from apiserver.client import Change, Informer
from nodeagent.conditions import NETWORK_UP, READY
from nodeagent.errors import AgentError
from nodeagent.identity import write_file
from nodeagent.noted import Noted, read_noted

log = logging.getLogger(__name__)

T = TypeVar("T", bound=TopObject)

FORMAT = 1
FILE_BYTES_MAX = 16 << 20
SILENCE_S = 5.0  # how long the API may be silent before the memory counts, as with pods (AgentOptions)
EVERY_S = 5.0  # at most so often it is written: changes come in bursts


class _Noted(Noted, frozen=True, kw_only=True):
    services: list[Service]
    slices: list[EndpointSlice]
    nodes: list[Node]


class _Own(NamedTuple):
    """How a pod of this node is. `address` is "" without a network."""

    address: str
    ready: bool


class Memory:
    """In `path`. `run` until it is cancelled; the informers are run by whoever made them."""

    def __init__(
        self,
        path: Path,
        services: Informer[Service],
        slices: Informer[EndpointSlice],
        nodes: Informer[Node],
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._path = path
        self._services, self._slices, self._nodes = services, slices, nodes
        self._silence_s = silence_s
        self._changed = asyncio.Event()
        self._recalled: list[EndpointSlice] = []  # as they were noted
        self._own: dict[str, _Own] = {}  # by uid
        for informer in (services, slices, nodes):
            informer.add_handler(self._notice)

    def said(self, pod: Pod, status: PodStatus) -> None:
        """The node says this of a pod that is here."""
        if self._slices.synced.is_set():
            return
        true = {each.type for each in status.conditions if each.status == "True"}
        own = _Own(status.pod_ip if NETWORK_UP in true else "", READY in true)
        if self._own.get(pod.metadata.uid) != own:
            self._own[pod.metadata.uid] = own
            self._tell_endpoints(pod.metadata.uid)

    async def run(self) -> None:
        try:
            async with asyncio.timeout(self._silence_s):
                await self._heard()
        except TimeoutError:
            await self._recall()
            await self._heard()
        self._recalled.clear()
        self._own.clear()
        await self._keep()

    async def _heard(self) -> None:
        for informer in (self._services, self._slices, self._nodes):
            await informer.synced.wait()

    # --- recalling ----------------------------------------------------------------------------------------

    async def _recall(self) -> None:
        noted = await asyncio.to_thread(_read, self._path)
        if noted is None:
            return
        counts = {"services": len(noted.services), "slices": len(noted.slices), "nodes": len(noted.nodes)}
        log.warning("the API does not answer: Services and nodes are as they were known last", extra=counts)
        self._recalled = noted.slices
        self._services.recall(noted.services)
        self._slices.recall(map(self._as_now, noted.slices))
        self._nodes.recall(noted.nodes)

    def _tell_endpoints(self, uid: str) -> None:
        mine = [piece for piece in self._recalled if any(_pod_of(each) == uid for each in piece.endpoints)]
        if mine:
            self._slices.recall(map(self._as_now, mine))

    def _as_now(self, piece: EndpointSlice) -> EndpointSlice:
        if piece.address_type != "IPv4":
            return piece
        found = [now for each in piece.endpoints if (now := self._endpoint(each)) is not None]
        return msgspec.structs.replace(piece, endpoints=found)

    def _endpoint(self, noted: Endpoint) -> Endpoint | None:
        """None: its pod has no network. What runs on as it was is as the API said."""
        own = self._own.get(_pod_of(noted))
        if own is None or noted.addresses[:1] == [own.address]:
            return noted
        if not own.address:
            return None
        conditions = EndpointConditions(ready=own.ready, serving=own.ready, terminating=False)
        return msgspec.structs.replace(noted, addresses=[own.address], conditions=conditions)

    # --- noting -------------------------------------------------------------------------------------------

    def _notice(self, change: Change[Service] | Change[EndpointSlice] | Change[Node]) -> None:
        """A Node is written again and again, and nothing of it that is kept here changes."""
        if change.old is None or change.type == "deleted" or _bare(change.old) != _bare(change.object):
            self._changed.set()

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            await asyncio.to_thread(
                self._write, list(self._services.cache), list(self._slices.cache), list(self._nodes.cache)
            )
            await asyncio.sleep(EVERY_S)
            await self._changed.wait()

    def _write(self, services: list[Service], slices: list[EndpointSlice], nodes: list[Node]) -> None:
        """Not when it says so already: flash lives longer."""
        data = msgspec.json.encode(
            {"format": FORMAT, "services": _encoded(services), "slices": _encoded(slices), "nodes": _encoded(nodes)}
        )
        try:
            if len(data) > FILE_BYTES_MAX:
                raise AgentError(f"they take {len(data)} bytes, at most {FILE_BYTES_MAX} are kept")
            if not self._path.is_file() or self._path.read_bytes() != data:
                write_file(self._path, data, secret=True)
        except (AgentError, OSError) as error:
            log.warning("Services and nodes were not noted", extra={"file": str(self._path), "error": str(error)})


def _encoded(objects: Iterable[TopObject]) -> list[msgspec.Raw]:
    """Each by itself, for the loop goes on beside us."""
    return [msgspec.Raw(msgspec.json.encode(_bare(each))) for each in objects]


def _bare(obj: T) -> T:
    """Without what changes although nothing happened."""
    return msgspec.structs.replace(obj, metadata=msgspec.structs.replace(obj.metadata, resource_version=""))


def _pod_of(place: Endpoint) -> str:
    """Its uid; "" when it is none."""
    return place.target_ref.uid if place.target_ref is not None else ""


def _read(path: Path) -> _Noted | None:
    try:
        return read_noted(path, _Noted, known_format=FORMAT, bytes_max=FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("what was known of Services and nodes is of no use", extra={"file": str(path), "error": str(error)})
        return None
