"""The manager: all parts while it leads, everything new in the next term, and an end for a term that went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import virtual_time
from controllers_world_objects import service
from fake_api import FakeApi

from apiserver.api.coordination import Lease
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.event import Event
from apiserver.api.errors import Fenced, Forbidden, Timeout
from apiserver.api.meta import ObjectMeta
from apiserver.client import Informer, Informers
from controlplane.runtime import DONE, Context, Part, Request, Result, Source, controller, own_key
from controlplane.runtime.election import NAMESPACE
from controlplane.runtime.manager import LEASE, Manager


class Looper:
    """A part that writes something every second, and fails when it is told to."""

    name = "looper"

    def __init__(self, context: Context) -> None:
        self.context = context
        self.running = False
        self.failure: Exception | None = None

    async def run(self) -> None:
        self.running = True
        try:
            while self.failure is None:
                await self.context.client.create(
                    ConfigMap(metadata=ObjectMeta(generate_name="x-", namespace="default"))
                )
                await asyncio.sleep(1)
            raise self.failure
        finally:
            self.running = False


class Host:
    """A process with a manager."""

    def __init__(self, api: FakeApi, name: str) -> None:
        self.parts: list[Looper] = []
        self.manager = Manager(api.client(name), {"looper": self._make}, identity=name, clock=virtual_time.clock())
        self.task = asyncio.create_task(self.manager.run())

    def _make(self, context: Context) -> Sequence[Part]:
        self.parts.append(Looper(context))
        return self.parts[-1:]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def test_parts_run_while_it_leads_and_end_with_it() -> None:
    async def body() -> None:
        api = FakeApi()
        host = Host(api, "a")
        await asyncio.sleep(30)
        assert host.manager.leads
        assert "looper" in host.manager.running
        assert len(api.objects(ConfigMap, "default")) >= 29
        await host.stop()
        assert not host.parts[0].running
        assert host.manager.running == []
        lease = api.get(Lease, LEASE, NAMESPACE)
        assert lease is not None
        assert not lease.spec.holder_identity

    virtual_time.run(body())


def test_a_part_that_fails_ends_the_term_and_the_next_one_begins_anew() -> None:
    async def body() -> None:
        api = FakeApi()
        host = Host(api, "a")
        await asyncio.sleep(5)
        host.parts[0].failure = ValueError("broken")
        await asyncio.sleep(10)
        assert not host.parts[0].running
        assert host.parts[-1].running
        assert len(host.parts) == 2
        assert host.parts[1].context is not host.parts[0].context
        await host.stop()

    virtual_time.run(body())


def test_a_cache_that_stands_still_ends_the_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose informer has ended says for ever what was so then: nobody may go by it."""

    async def body() -> None:
        api = FakeApi()
        terms: list[Context] = []

        def make(context: Context) -> Sequence[Part]:
            terms.append(context)
            context.caches.services.cache  # noqa: B018 - asked for, so it is kept
            return ()

        manager = Manager(api.client("a"), {"none": make}, identity="a", clock=virtual_time.clock())
        task = asyncio.create_task(manager.run())
        await asyncio.sleep(5)
        assert len(terms) == 1
        monkeypatch.setattr(terms[0].caches.services, "_objects_max", 0)
        api.put(service("web"))
        await asyncio.sleep(30)
        assert len(terms) == 2
        assert terms[1].caches.services.cache.get("web", namespace="default") is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(body())


def test_a_kind_that_cannot_be_listed_keeps_only_those_waiting_who_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        api = FakeApi()
        api.put(service("web"))
        loopers: list[Looper] = []
        looked: list[Request] = []

        class Looker:
            async def reconcile(self, request: Request) -> Result:
                looked.append(request)
                return DONE

        async def refused(informer: Informer[Any]) -> None:
            raise Forbidden("nobody may list these")

        def make(context: Context) -> Sequence[Part]:
            loopers.append(Looper(context))
            return [
                loopers[-1],
                controller(context, "looker", Looker(), [Source(context.caches.services, own_key)]),
            ]

        manager = Manager(api.client("a"), {"both": make}, identity="a", clock=virtual_time.clock())
        with monkeypatch.context() as patched:
            patched.setattr(Informer, "_list", refused)
            task = asyncio.create_task(manager.run())
            await asyncio.sleep(300)
        assert len(loopers) == 1
        assert loopers[0].running
        assert looked == []
        await asyncio.sleep(60)
        assert looked == [Request("default", "web")]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(body())


def test_a_term_that_cannot_begin_is_tried_less_and_less_often() -> None:
    """Each costs two writes of the lease."""

    async def body() -> None:
        api = FakeApi()
        moments: list[float] = []

        def make(context: Context) -> Sequence[Part]:
            moments.append(asyncio.get_running_loop().time())
            raise ValueError("a range that is none")

        manager = Manager(api.client("a"), {"none": make}, identity="a", clock=virtual_time.clock())
        task = asyncio.create_task(manager.run())
        await asyncio.sleep(600)
        assert 10 < len(moments) < 30
        assert all(later - sooner < 62 for sooner, later in pairwise(moments))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(body())


def test_what_a_term_left_behind_is_refused_when_another_leads() -> None:
    """A write that was on its way when its process was paused; the real pause is in tests/integration/controlplane."""

    async def body() -> None:
        api = FakeApi()
        one = Host(api, "a")
        await asyncio.sleep(5)
        other = Host(api, "b")
        api.kill("a")
        await asyncio.sleep(30)
        assert other.manager.leads
        assert not one.parts[0].running
        api.revive("a")
        with pytest.raises(Fenced):
            await one.parts[0].context.client.create(ConfigMap(metadata=ObjectMeta(name="late", namespace="default")))
        await one.stop()
        await other.stop()

    virtual_time.run(body())


def test_events_of_one_object_are_counted_up_and_bounded() -> None:
    async def body() -> None:
        api = FakeApi()
        context_of: list[Context] = []

        def make(context: Context) -> Sequence[Part]:
            context_of.append(context)
            return ()

        manager = Manager(api.client("a"), {"none": make}, identity="a", clock=virtual_time.clock())
        task = asyncio.create_task(manager.run())
        await asyncio.sleep(2)
        recorder = context_of[0].recorder
        about = api.put(ConfigMap(metadata=ObjectMeta(name="x", namespace="default")))
        for _ in range(40):
            recorder.event(about, "Normal", "Same", "the same again", component="test")
        await asyncio.sleep(2)
        for number in range(40):
            recorder.event(about, "Warning", "Other", f"number {number}", component="test")
        await asyncio.sleep(2)
        events = api.objects(Event, "default")
        same = [each for each in events if each.reason == "Same"]
        assert [each.count for each in same] == [40]
        assert same[0].involved_object.uid == about.metadata.uid
        others = [each for each in events if each.reason == "Other"]
        assert len(others) == 24  # a burst of 25 for one object, one of which was spent
        recorder.event(about, "Normal", "Same", "the same again", component="test")
        await asyncio.sleep(2)
        assert [each.count for each in api.objects(Event, "default") if each.reason == "Same"] == [41]
        await asyncio.sleep(600)
        for _ in range(60):
            recorder.event(about, "Normal", "Same", "the same again", component="test")
            await asyncio.sleep(1)
        assert len([each for each in api.log if each.kind == "Event" and each.verb == "update"]) < 30
        await asyncio.sleep(600)
        recorder.event(about, "Normal", "Same", "the same again", component="test")
        await asyncio.sleep(2)
        assert [each.count for each in api.objects(Event, "default") if each.reason == "Same"] == [102]
        api.remove(Event, same[0].metadata.name)
        recorder.event(about, "Normal", "Same", "the same again", component="test")
        await asyncio.sleep(2)
        assert [each.count for each in api.objects(Event, "default") if each.reason == "Same"] == [1]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(body())


def test_an_event_whose_answer_was_lost_is_counted_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client("a")
        recorder = Context(client, Informers(client), clock=virtual_time.clock()).recorder
        task = asyncio.create_task(recorder.run())
        about = api.put(ConfigMap(metadata=ObjectMeta(name="x", namespace="default")))
        create = client.create

        async def create_and_lose(obj: Any, **options: Any) -> Any:
            await create(obj, **options)
            raise Timeout("no answer", definite=False)

        with monkeypatch.context() as patched:
            patched.setattr(client, "create", create_and_lose)
            recorder.event(about, "Normal", "Same", "the same", component="test")
            await asyncio.sleep(1)
        for _ in range(2):
            recorder.event(about, "Normal", "Same", "the same", component="test")
            await asyncio.sleep(1)
        assert [each.count for each in api.objects(Event, "default")] == [3]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(body())


def test_an_event_that_cannot_be_written_at_all_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client("a")
        recorder = Context(client, Informers(client), clock=virtual_time.clock()).recorder
        task = asyncio.create_task(recorder.run())
        about = api.put(ConfigMap(metadata=ObjectMeta(name="x", namespace="default")))
        recorder.event(about, "Normal", "Odd", "half a pair: \ud800", component="test")
        recorder.event(about, "Normal", "Next", "the next", component="test")
        await asyncio.sleep(1)
        assert [each.reason for each in api.objects(Event, "default")] == ["Next"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    caplog.set_level(logging.CRITICAL)
    virtual_time.run(body())
