"""The recorder: what is told is written as it should be, and never more of it than there may be."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from fake_api import FakeApi, Faults
from virtual_time import now_s, run

from apiserver.api.core.event import Event
from apiserver.api.core.pod import Pod
from apiserver.api.meta import ObjectMeta
from apiserver.client import recorder as recorder_module
from apiserver.client.recorder import MESSAGE_CHARACTERS_MAX, WRITTEN, Recorder


def pod(name: str) -> Pod:
    return Pod(metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-of-{name}"))


def test_what_is_written_says_who_tells_and_which_part_is_meant() -> None:
    async def main() -> None:
        api = FakeApi()
        async with api.client() as client:
            recorder = Recorder(client, wall=now_s, instance="node-1", host="node-1")
            task = asyncio.create_task(recorder.run())
            words = "x" * (2 * MESSAGE_CHARACTERS_MAX)
            recorder.event(
                pod("a"), "Warning", "Failed", words, component="kubelet", field_path="spec.containers{main}"
            )
            await asyncio.sleep(1)
            (event,) = api.objects(Event)
            assert (event.source.component, event.source.host) == ("kubelet", "node-1")
            assert event.involved_object.field_path == "spec.containers{main}"
            assert event.message == words[:MESSAGE_CHARACTERS_MAX]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_what_waits_is_bounded_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "WAITING_MAX", 10)

    async def main() -> None:
        api, outcomes = FakeApi(), Counter[str]()
        async with api.client() as client:
            recorder = Recorder(client, wall=now_s, counted=lambda outcome: outcomes.update([outcome]))
            for number in range(15):
                recorder.event(pod(f"p-{number}"), "Normal", "Started", "it runs", component="kubelet")
            assert outcomes == {"queue": 5}
            task = asyncio.create_task(recorder.run())
            await asyncio.sleep(10)
            assert outcomes[WRITTEN] == 10
            assert len(api.objects(Event)) == 10
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_what_is_gathered_is_written_beside_each_other() -> None:
    """Not one after another, each with a fsync of its own."""

    async def main() -> None:
        api, moments = FakeApi(), []
        api.on_write.append(lambda verb, old, new: moments.append(now_s()))
        async with api.client() as client:
            recorder = Recorder(client, wall=now_s, gather_s=0.25)
            task = asyncio.create_task(recorder.run())
            await asyncio.sleep(1)
            for words in ("pulled", "created", "started"):
                recorder.event(pod("a"), "Normal", "Any", words, component="kubelet")
                await asyncio.sleep(0.05)
            assert not moments
            await asyncio.sleep(0.25)
            assert len(moments) == 3
            assert len(set(moments)) == 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


@pytest.mark.parametrize("faults", [Faults(lost_answers=1.0), Faults(lost_requests=1.0), Faults(refused=1.0)])
def test_an_answer_that_did_not_come_is_asked_for_again(faults: Faults) -> None:
    async def main() -> None:
        api, outcomes = FakeApi(faults=faults), Counter[str]()
        async with api.client() as client:
            recorder = Recorder(client, wall=now_s, counted=lambda outcome: outcomes.update([outcome]))
            task = asyncio.create_task(recorder.run())
            recorder.event(pod("a"), "Normal", "Started", "it runs", component="kubelet")
            await asyncio.sleep(0.1)
            assert not outcomes
            api.faults = Faults()
            await asyncio.sleep(60)
            assert outcomes == {WRITTEN: 1}
            (event,) = api.objects(Event)
            assert event.count == 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_it_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "WRITERS", 1)

    async def main() -> None:
        api, outcomes = FakeApi(faults=Faults(lost_requests=1.0)), Counter[str]()
        async with api.client() as client:
            recorder = Recorder(client, wall=now_s, counted=lambda outcome: outcomes.update([outcome]))
            task = asyncio.create_task(recorder.run())
            recorder.event(pod("a"), "Normal", "Started", "it runs", component="kubelet")
            await asyncio.sleep(60)
            assert outcomes == {"refused": 1}
            assert api.requests <= recorder_module.TRIES
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())
