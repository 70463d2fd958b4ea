"""Keeps the node's packet rules as Services and EndpointSlices say. No packet comes through here: the kernel's work.

What must hold:
- Rules change in one transaction; connections that are there go on, whether the agent runs, restarts or is gone.
- Changes are batched: at most one transaction in `interval_s`, and the agent rests for as long as one took.
- What nft refuses is logged and tried again; then the table is made anew as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from random import Random
from typing import TypeVar

import msgspec

from apiserver.api.core.service import Service
from apiserver.api.discovery import EndpointSlice
from apiserver.api.meta import TopObject
from apiserver.client import Change, Client, Informer
from apiserver.client.retry import Backoff

from .backends import Backend, Frontend, ServiceName, frontends
from .flows import Wanted, wanted_of
from .kernel import Kernel
from .programs import ProgramFailed
from .rules import Present, Ruleset, present_after, replacement, ruleset

log = logging.getLogger(__name__)

T = TypeVar("T", bound=TopObject)

_AGAIN = Backoff(first_s=0.5, longest_s=30.0)


class ProxyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    interval_s: float = 0.1
    check_s: float = 60.0  # how often it is looked whether the table is still there


def service_informer(client: Client) -> Informer[Service]:
    return Informer(client, Service, trim=_trim)


def slice_informer(client: Client) -> Informer[EndpointSlice]:
    return Informer(client, EndpointSlice, trim=_trim)


class Proxy:
    """`run` until it is cancelled; the informers are run by whoever made them. Rules stay when it ends."""

    def __init__(
        self,
        services: Informer[Service],
        slices: Informer[EndpointSlice],
        kernel: Kernel,
        *,
        node: str,
        cluster_cidr: str,
        answered_here: Mapping[ServiceName, Backend] | None = None,
        options: ProxyOptions | None = None,
        random: Random | None = None,
    ) -> None:
        """`answered_here`: Services that the node answers itself, and where. Raises ValueError for a wrong CIDR."""
        self.applied = asyncio.Event()  # at least once
        self._services = services
        self._slices = slices
        self._kernel = kernel
        self._node = node
        self._cluster_cidr = cluster_cidr
        self._answered_here = dict(answered_here or {})
        self._options = options or ProxyOptions()
        self._random = random or Random()
        self._changed = asyncio.Event()
        self._rules: Ruleset | None = None  # what the kernel has, as far as we know
        self._wanted = Wanted()
        self._flows_changed = asyncio.Event()
        self._table = ruleset((), node=node, cluster_cidr=cluster_cidr).table
        services.add_handler(self._notice)
        slices.add_handler(self._notice)

    async def run(self) -> None:
        await self._services.known.wait()
        await self._slices.known.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_rules())
            group.create_task(self._keep_flows())

    def _notice(self, _: Change[Service] | Change[EndpointSlice]) -> None:
        self._changed.set()

    # --- rules --------------------------------------------------------------------------------------------

    async def _keep_rules(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                await self._sync(fresh=failures > 1)
            except ProgramFailed as error:
                log.warning("rules of Services were not taken", extra={"node": self._node, "error": str(error)})
                failures, self._rules = failures + 1, None
                await asyncio.sleep(_AGAIN.wait_s(failures, self._random))
                continue
            failures = 0
            self.applied.set()
            await asyncio.sleep(max(self._options.interval_s, loop.time() - started))
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        """Or until it is time to look whether somebody took the table away."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.check_s):
                await self._changed.wait()

    async def _sync(self, *, fresh: bool) -> None:
        looked = not self._changed.is_set()
        self._changed.clear()
        services, slices = list(self._services.cache), list(self._slices.cache)
        ports, rules = await asyncio.to_thread(self._build, services, slices)
        present = None if fresh else await self._present(look=looked)
        if rules == self._rules and present == present_after(rules):
            return
        await self._kernel.apply(await asyncio.to_thread(_encode, rules, present))
        self._rules = rules
        wanted = wanted_of(ports)
        if wanted != self._wanted:
            self._wanted = wanted
            self._flows_changed.set()

    async def _present(self, *, look: bool) -> Present | None:
        if look or self._rules is None:
            return await self._kernel.present(self._table)
        return present_after(self._rules)

    def _build(self, services: list[Service], slices: list[EndpointSlice]) -> tuple[list[Frontend], Ruleset]:
        """In a thread: objects of the cache are never changed."""
        ports = frontends(services, slices, node=self._node, answered_here=self._answered_here)
        return ports, ruleset(ports, node=self._node, cluster_cidr=self._cluster_cidr)

    # --- flows --------------------------------------------------------------------------------------------

    async def _keep_flows(self) -> None:
        """After the rules, beside them: a slow connection table must not hold up the next change."""
        failures = 0
        while True:
            await self._flows_changed.wait()
            self._flows_changed.clear()
            try:
                await self._kernel.forget_flows(self._wanted)
                failures = 0
            except ProgramFailed as error:
                log.warning("UDP flows were not removed", extra={"node": self._node, "error": str(error)})
                failures += 1
                await asyncio.sleep(_AGAIN.wait_s(failures, self._random))
                self._flows_changed.set()


def _encode(rules: Ruleset, present: Present | None) -> bytes:
    return msgspec.json.encode(replacement(rules, present))


def _trim(obj: T) -> T:
    obj.metadata.managed_fields = []
    obj.metadata.annotations = {}
    return obj
