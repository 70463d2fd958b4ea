"""A reconciler at work: what wakes it up, its queue, its workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from apiserver.api.errors import AlreadyExists, ApiError, Conflict, Fenced, NotFound
from apiserver.client import Change, Informer

from .context import Context
from .queue import WorkQueue
from .reconciler import Reconciler, Request

log = logging.getLogger("controlplane.controller")

Keys = Callable[[Change[Any]], Iterable[Request]]

#: So often it is said that a cache does not fill.
SYNC_TIMEOUT_S = 60.0


class Source(NamedTuple):
    """`keys` says whom a change of the informer's kind concerns. It is called in place: quick, and never waits."""

    informer: Informer[Any]
    keys: Keys


async def synced(informers: Iterable[Informer[Any]], whose: str) -> None:
    """Returns once all of them have told of everything there is. Waits for ever: a kind that cannot be listed keeps
    only those waiting who need it. Raises CacheFull."""
    for informer in informers:
        while not informer.synced.is_set():
            try:
                await informer.wait_for_sync(timeout_s=SYNC_TIMEOUT_S)
            except TimeoutError as error:
                log.warning("a cache does not fill", extra={"controller": whose, "error": str(error)})


def own_key(change: Change[Any]) -> Iterable[Request]:
    """The object itself."""
    return (Request.of(change.object),)


def controller_key(kind: str) -> Keys:
    """The owner of that kind that controls the object, or did before the change."""

    def keys(change: Change[Any]) -> Iterable[Request]:
        found: dict[Request, None] = {}
        for obj in (change.object, change.old):
            if obj is None:
                continue
            for owner in obj.metadata.owner_references:
                if owner.controller and owner.kind == kind:
                    found[Request(obj.metadata.namespace, owner.name)] = None
        return found

    return keys


def controller(
    context: Context, name: str, reconciler: Reconciler, sources: Sequence[Source], *, workers: int = 1
) -> Controller:
    """Wired up: from now on changes are noted; `run` does the work."""
    made = Controller(name, reconciler, context.queue(name), [source.informer for source in sources], workers=workers)
    for source in sources:
        made.listen(source)
    return made


class Controller:
    """A Part. Every name is looked at by one worker at a time."""

    def __init__(
        self, name: str, reconciler: Reconciler, queue: WorkQueue, informers: Sequence[Informer[Any]], *, workers: int
    ) -> None:
        self.name = name
        self.queue = queue
        self._reconciler = reconciler
        self._informers = informers
        self._workers = workers

    def listen(self, source: Source) -> None:
        def changed(change: Change[Any]) -> None:
            for request in source.keys(change):
                self.queue.add(request)

        source.informer.add_handler(changed)

    async def run(self) -> None:
        """Until it is cancelled. Raises Fenced."""
        await synced(self._informers, self.name)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self.name} {number}")
        finally:
            self.queue.close()

    async def _work(self) -> None:
        while True:
            request = await self.queue.get()
            try:
                await self._reconcile(request)
            finally:
                self.queue.done(request)

    async def _reconcile(self, request: Request) -> None:
        try:
            result = await self._reconciler.reconcile(request)
        except Fenced:
            raise
        except (Conflict, NotFound, AlreadyExists) as error:
            # the cache was behind: nothing that people must know
            log.debug(
                "looked at too early", extra={"controller": self.name, "about": str(request), "error": str(error)}
            )
            self.queue.add_rate_limited(request)
        except (ApiError, OSError, TimeoutError) as error:
            log.warning(
                "a reconciliation failed and is tried again",
                extra={"controller": self.name, "about": str(request), "error": str(error)},
            )
            self.queue.add_rate_limited(request)
        except Exception:
            log.exception("a reconciler is broken", extra={"controller": self.name, "about": str(request)})
            self.queue.add_rate_limited(request)
        else:
            self.queue.forget(request)
            if result.requeue_after_s is not None:
                self.queue.add_after(request, result.requeue_after_s)
