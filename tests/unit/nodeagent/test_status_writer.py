"""Writes of status: the last one counts, none is for nothing, none hits another pod or another's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import msgspec
from fake_api import FakeApi
from virtual_time import now_s, run

from apiserver.api.core.pod import Pod, PodCondition, PodStatus
from apiserver.api.meta import ObjectMeta
from nodeagent.status_writer import PATIENCE_S, StatusWriter, completed, status_patch


@asynccontextmanager
async def writing(api: FakeApi, *, writers: int = 2) -> AsyncIterator[StatusWriter]:
    client = api.client("writer")
    writer = StatusWriter(client, writers=writers, wall=now_s, random=Random(1))
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.close()


def put(api: FakeApi, name: str = "a") -> Pod:
    body = {"metadata": {"name": name}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}
    return api.put(msgspec.convert(body, Pod))


def put_and_outdated(api: FakeApi) -> Pod:
    """As it was before somebody else wrote to it."""
    pod = put(api)
    late = api.get(Pod, "a")
    assert late is not None
    late.metadata.annotations["theirs"] = "1"
    api.put(late)
    return pod


def saying(phase: str, **more: str) -> PodStatus:
    return PodStatus(phase=phase, conditions=[PodCondition(type="Ready", status="True")], **more)  # type: ignore[arg-type]


def condition(pod: Pod | None, kind: str) -> PodCondition | None:
    assert pod is not None
    return next((each for each in pod.status.conditions if each.type == kind), None)


def test_the_last_word_counts() -> None:
    async def story() -> None:
        api = FakeApi()
        pod = put(api)
        async with writing(api, writers=1) as writer:
            for phase in ("Pending", "Running", "Running", "Failed"):
                writer.set(pod, saying(phase))
            await asyncio.sleep(1)
            found = api.get(Pod, "a")
            assert found is not None
            assert found.status.phase == "Failed"
            assert writer.written == 1

    run(story())


def test_who_listens_hears_at_once_and_without_the_api() -> None:
    async def story() -> None:
        api = FakeApi()
        pod, heard = put(api), list[tuple[str, str]]()
        api.faults.refused = 1.0

        def listen(of: Pod, status: PodStatus) -> None:
            heard.append((of.metadata.name, status.phase))

        writer = StatusWriter(api.client("writer"), listeners=[listen])
        writer.set(pod, saying("Pending"), patient=True)
        writer.set(pod, saying("Running"))
        assert heard == [("a", "Pending"), ("a", "Running")]
        writer.forget(pod.metadata.uid)

    run(story())


def test_what_is_no_news_waits_for_what_comes_next() -> None:
    async def story() -> None:
        api = FakeApi()
        quick, slow = put(api, "quick"), put(api, "slow")
        async with writing(api) as writer:
            for pod in (quick, slow):
                writer.set(pod, saying("Pending", message="1"), patient=True)
            await asyncio.sleep(PATIENCE_S / 2)
            assert writer.written == 0
            writer.set(quick, saying("Running"))
            writer.set(slow, saying("Pending", message="2"), patient=True)
            await asyncio.sleep(0.1)
            assert writer.written == 1, "what is news waits for nobody"
            await asyncio.sleep(PATIENCE_S / 2)
            found = api.get(Pod, "slow")
            assert found is not None
            assert found.status.message == "2", "not later than promised for the first"
            await asyncio.sleep(60)
            assert writer.written == 2

    run(story())


def test_a_pod_that_goes_leaves_nothing_that_waits() -> None:
    async def story() -> None:
        api = FakeApi()
        pod = put(api)
        async with writing(api) as writer:
            writer.set(pod, saying("Pending", message="1"), patient=True)
            writer.forget(pod.metadata.uid)
            await asyncio.sleep(60)
            assert writer.written == 0

    run(story())


def test_what_is_known_is_not_written() -> None:
    async def story() -> None:
        api = FakeApi()
        pod = put(api)
        async with writing(api) as writer:
            writer.set(pod, saying("Running"))
            await asyncio.sleep(1)
            for _ in range(5):
                writer.set(pod, saying("Running"))
                await asyncio.sleep(1)
            assert writer.written == 1

    run(story())


def test_the_words_of_others_survive_a_race() -> None:
    async def story() -> None:
        api = FakeApi()
        pod = put(api)
        late = api.get(Pod, "a")
        assert late is not None
        late.status.conditions.append(PodCondition(type="test.local/mine", status="True"))
        api.put(late)
        async with writing(api) as writer:
            writer.set(pod, saying("Running"))  # by who has not seen the other's write
            await asyncio.sleep(1)
        assert condition(api.get(Pod, "a"), "test.local/mine") is not None
        assert condition(api.get(Pod, "a"), "Ready") is not None

    run(story())


def test_another_pod_of_the_name_is_never_hit() -> None:
    async def story() -> None:
        api = FakeApi()
        old = put(api)
        api.remove(Pod, "a")
        new = put(api)
        assert new.metadata.uid != old.metadata.uid
        async with writing(api) as writer:
            writer.set(old, saying("Failed"), delete=True)
            await asyncio.sleep(30)
        found = api.get(Pod, "a")
        assert found is not None
        assert (found.metadata.uid, found.status.phase) == (new.metadata.uid, "Pending")

    run(story())


def test_a_late_deletion_never_hits_another_pod_of_the_name() -> None:
    """The last status is there already, so that nothing but the deletion is sent."""

    async def story() -> None:
        api = FakeApi()
        old = put(api)
        api.remove(Pod, "a")
        new = put(api)
        async with writing(api) as writer:
            writer.set(old, old.status, delete=True)
            await asyncio.sleep(30)
        found = api.get(Pod, "a")
        assert found is not None
        assert found.metadata.uid == new.metadata.uid

    run(story())


def test_a_pod_that_ended_is_deleted_after_its_last_status() -> None:
    verbs: list[str] = []

    async def story() -> None:
        api = FakeApi()
        pod = put(api)
        api.on_write.append(lambda verb, old, new: verbs.append(verb))
        async with writing(api) as writer:
            writer.set(pod, saying("Succeeded"), delete=True)
            await asyncio.sleep(1)
        assert api.get(Pod, "a") is None

    run(story())
    assert verbs == ["update", "delete"]


def test_no_answer_is_no_end() -> None:
    async def story() -> None:
        api = FakeApi()
        pod = put(api)
        api.faults.refused = 1.0
        async with writing(api) as writer:
            writer.set(pod, saying("Running"), delete=True)
            await asyncio.sleep(300)
            assert api.get(Pod, "a") is not None
            api.faults.refused = 0.0
            await asyncio.sleep(60)
            assert api.get(Pod, "a") is None

    run(story())


def test_a_pod_that_does_not_answer_does_not_hold_up_the_others() -> None:
    """What is refused for good is given up, and said in the log."""

    async def story() -> None:
        api = FakeApi()
        bad, good = put(api, "bad"), put(api, "good")
        async with writing(api, writers=1) as writer:
            writer.set(bad, saying("Nonsense"))
            writer.set(good, saying("Running"))
            await asyncio.sleep(1)
            found = api.get(Pod, "good")
            assert found is not None
            assert found.status.phase == "Running"
            before = api.requests
            await asyncio.sleep(300)
            assert api.requests == before

    run(story())


def test_our_own_write_is_no_news_and_others_are() -> None:
    async def story() -> None:
        api = FakeApi()
        pod = put(api)
        async with writing(api) as writer:
            writer.set(pod, saying("Running"))
            await asyncio.sleep(1)
            echo = api.get(Pod, "a")
            assert echo is not None
            assert writer.is_echo(echo)
            assert not writer.is_echo(pod)
            echo.metadata.labels["new"] = "1"
            other = api.put(echo)
            assert not writer.is_echo(other)

    run(story())


def test_a_watch_that_shows_our_write_before_it_is_answered_has_no_news() -> None:
    async def story() -> None:
        api = FakeApi()
        pod = put(api)
        api.faults.latency_s = (1.0, 1.0)  # on the way there, and again on the way back
        async with writing(api) as writer:
            writer.set(pod, saying("Running"))
            await asyncio.sleep(1.5)
            ours, other = api.get(Pod, "a"), api.get(Pod, "a")
            assert ours is not None
            assert other is not None
            assert ours.status.phase == "Running"
            assert writer.written == 0
            assert writer.is_echo(ours)
            assert not writer.is_echo(pod)
            other.metadata.labels["new"] = "1"
            assert not writer.is_echo(other)
            other = msgspec.structs.replace(ours, status=saying("Running", message="theirs"))
            assert not writer.is_echo(other)

    run(story())


def test_a_write_that_others_were_faster_than_is_news_while_it_is_under_way() -> None:
    """It was merged with something that only we have read: nobody has told the pod's worker of it."""

    async def story() -> None:
        api = FakeApi()
        pod = put_and_outdated(api)
        api.faults.latency_s = (1.0, 1.0)
        async with writing(api) as writer:
            writer.set(pod, saying("Running"))
            await asyncio.sleep(5.5)  # a conflict, a look, and the way there
            ours = api.get(Pod, "a")
            assert ours is not None
            assert ours.status.phase == "Running"
            assert writer.written == 0
            assert not writer.is_echo(ours)

    run(story())


def test_after_a_race_our_write_is_news_until_the_watch_has_caught_up() -> None:
    """It was merged with something that only we have read: nobody has told the pod's worker of it."""

    async def story() -> None:
        api = FakeApi()
        pod = put_and_outdated(api)
        async with writing(api) as writer:
            writer.set(pod, saying("Running"))
            await asyncio.sleep(1)
            ours = api.get(Pod, "a")
            assert ours is not None
            assert ours.status.phase == "Running"
            assert not writer.is_echo(ours)
            writer.saw(ours)
            writer.set(ours, saying("Failed"))
            await asyncio.sleep(1)
            next_one = api.get(Pod, "a")
            assert next_one is not None
            assert writer.is_echo(next_one)

    run(story())


def test_the_patch_of_a_status() -> None:
    known = PodStatus(phase="Pending", reason="Old", qos_class="Burstable", nominated_node_name="n")
    known.conditions = [
        PodCondition(type="Ready", status="True", last_transition_time="1"),
        PodCondition(type="theirs", status="True"),
    ]
    own = PodStatus(phase="Running", conditions=[PodCondition(type="Ready", status="True")])
    assert status_patch(known, completed(known, own, now="2")) == {"phase": "Running", "reason": None}
    own.conditions[0].status = "False"
    patch = status_patch(known, completed(known, own, now="2"))
    assert patch["conditions"] == [
        {"type": "Ready", "status": "False", "lastTransitionTime": "2"},
        {"type": "theirs", "status": "True"},
    ]


def test_metadata_is_not_needed() -> None:
    assert status_patch(PodStatus(), completed(PodStatus(), PodStatus(), now="1")) == {}
    assert Pod(metadata=ObjectMeta(name="a")).status == PodStatus()
