"""Learns from the cluster where its servers are, now and then, so that a client outlives the ones it was told of.

The word for it is EndpointSlice `default/kubernetes`, or Endpoints of that name for those who may only read these.
Who may read neither stays with what is configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from apiserver.api.errors import ApiError

from . import requests
from .calls import Caller

log = logging.getLogger(__name__)

EVERY_S = 300.0
SOON_S = 10.0  # after a failure
_TIMEOUT_S = 15.0
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
_ENDPOINTS = "/api/v1/namespaces/default/endpoints/kubernetes"


class _Port(msgspec.Struct):
    port: int | None = None
    name: str | None = None


class _Conditions(msgspec.Struct):
    ready: bool | None = None


class _Endpoint(msgspec.Struct):
    addresses: list[str] = []
    conditions: _Conditions = msgspec.field(default_factory=_Conditions)


class _Slice(msgspec.Struct):
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


class _Address(msgspec.Struct):
    ip: str


class _Subset(msgspec.Struct):
    addresses: list[_Address] | None = None
    ports: list[_Port] | None = None


class _Endpoints(msgspec.Struct):
    subsets: list[_Subset] | None = None


class Learner:
    """`start` and `stop` from the loop the client lives in."""

    def __init__(self, caller: Caller, *, every_s: float = EVERY_S) -> None:
        self._caller = caller
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="learn the servers")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            learned = await self.learn()
            await self._caller.sleep(self._every_s if learned else SOON_S)

    async def learn(self) -> bool:
        """Ask once. False when nobody said anything."""
        try:
            found = await self._ask()
            if self._caller.servers.learn(found):
                log.info("the cluster's servers are known", extra={"servers": found})
                await asyncio.to_thread(self._caller.servers.save)
        except (ApiError, msgspec.DecodeError, ValueError) as error:
            log.debug("the cluster's servers could not be learned", extra={"error": str(error)})
            return False
        return bool(found)

    async def _ask(self) -> list[str]:
        try:
            raw = (await self._caller.call(requests.get(_SLICES), timeout_s=_TIMEOUT_S)).body
            return of_slice(raw)
        except ApiError as error:
            if error.status_code not in (403, 404):
                raise
        raw = (await self._caller.call(requests.get(_ENDPOINTS), timeout_s=_TIMEOUT_S)).body
        return of_endpoints(raw)


def of_slice(raw: bytes) -> list[str]:
    found = msgspec.json.decode(raw, type=_Slice)
    addresses = [
        each
        for endpoint in found.endpoints or []
        if endpoint.conditions.ready is not False
        for each in endpoint.addresses
    ]
    return _joined(addresses, found.ports or [])


def of_endpoints(raw: bytes) -> list[str]:
    found = msgspec.json.decode(raw, type=_Endpoints)
    servers: list[str] = []
    for subset in found.subsets or []:
        servers += _joined([each.ip for each in subset.addresses or []], subset.ports or [])
    return servers


def _joined(addresses: list[str], ports: list[_Port]) -> list[str]:
    """With the port named https, else the only one."""
    port = next((each.port for each in ports if each.name == "https"), ports[0].port if len(ports) == 1 else None)
    if port is None:
        return []
    return [f"https://[{each}]:{port}" if ":" in each else f"https://{each}:{port}" for each in addresses]
