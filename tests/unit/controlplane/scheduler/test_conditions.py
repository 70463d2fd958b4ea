"""The condition PodScheduled: said when it is news, once, and never over somebody else's change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import virtual_time
from controllers_world_objects import pod
from fake_api import FakeApi

from apiserver.api.core.pod import Pod, PodCondition
from controlplane.scheduler.conditions import UNSCHEDULABLE, Conditions


def run(body: Callable[[FakeApi, Conditions], Awaitable[None]]) -> None:
    async def main() -> None:
        api = FakeApi()
        conditions = Conditions(api.client(), virtual_time.clock())
        task = asyncio.create_task(conditions.run())
        try:
            await body(api, conditions)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(main())


def said(api: FakeApi) -> list[PodCondition]:
    found = api.get(Pod, "a")
    assert found is not None
    return found.status.conditions


def test_what_the_pod_says_already_is_not_sent_again() -> None:
    async def body(api: FakeApi, conditions: Conditions) -> None:
        conditions.say(api.put(pod("a")), UNSCHEDULABLE, "no room")
        await asyncio.sleep(1)
        assert [(each.status, each.reason, each.message) for each in said(api)] == [("False", UNSCHEDULABLE, "no room")]
        requests, found = api.requests, api.get(Pod, "a")
        assert found is not None
        conditions.say(found, UNSCHEDULABLE, "no room")
        await asyncio.sleep(1)
        assert api.requests == requests
        conditions.say(found, UNSCHEDULABLE, "no node")
        await asyncio.sleep(1)
        assert said(api)[0].message == "no node"

    run(body)


def test_it_is_since_when_the_pod_waits_not_since_when_it_is_said() -> None:
    async def body(api: FakeApi, conditions: Conditions) -> None:
        conditions.say(api.put(pod("a")), UNSCHEDULABLE, "no room")
        await asyncio.sleep(5)
        since, found = said(api)[0].last_transition_time, api.get(Pod, "a")
        assert found is not None
        conditions.say(found, UNSCHEDULABLE, "no node")
        await asyncio.sleep(5)
        assert said(api)[0].last_transition_time == since

    run(body)


def test_conditions_of_others_stay() -> None:
    async def body(api: FakeApi, conditions: Conditions) -> None:
        old = api.put(pod("a"))
        other = {"type": "example.com/Ready", "status": "True"}
        await api.client().patch(
            Pod, "a", {"status": {"conditions": [other]}}, namespace="default", subresource="status"
        )
        conditions.say(old, UNSCHEDULABLE, "no room")  # as it was before that
        await asyncio.sleep(1)
        assert [each.type for each in said(api)] == ["example.com/Ready"]
        found = api.get(Pod, "a")
        assert found is not None
        conditions.say(found, UNSCHEDULABLE, "no room")
        await asyncio.sleep(1)
        assert {each.type for each in said(api)} == {"example.com/Ready", "PodScheduled"}

    run(body)


def test_what_is_out_of_date_is_not_said() -> None:
    async def body(api: FakeApi, conditions: Conditions) -> None:
        found = api.put(pod("a"))
        conditions.say(found, UNSCHEDULABLE, "no room")
        conditions.drop(found.metadata.uid)
        await asyncio.sleep(1)
        assert said(api) == []
        assert conditions.idle

    run(body)
