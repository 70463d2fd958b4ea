"""Leader election: at most one leads, a new one takes over in time, and clocks that jump change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest
import virtual_time
from fake_api import FakeApi, Faults

from apiserver.api.coordination import Lease
from apiserver.api.core.config import ConfigMap
from apiserver.api.errors import Fenced
from apiserver.api.meta import ObjectMeta
from controlplane.runtime.clock import Clock
from controlplane.runtime.election import NAMESPACE, Election, ElectionTiming
from controlplane.runtime.metrics import Metrics

TIMING = ElectionTiming()
NAME = "test"


class Candidate:
    """Campaigns, and notes when it leads."""

    def __init__(
        self, api: FakeApi, name: str, *, clock: Clock | None = None, right: Callable[[], bool] | None = None
    ) -> None:
        self.name = name
        self.client = api.client(name)
        self.leading = False
        self.terms: list[int] = []
        self.on_lead: Callable[[Candidate], None] = lambda _: None
        self.election = Election(
            self.client,
            NAME,
            identity=name,
            clock=clock or virtual_time.clock(),
            metrics=Metrics(),
            right=right,
        )
        self.task = asyncio.create_task(self.election.run(self._lead))

    async def _lead(self, transitions: int) -> None:
        self.terms.append(transitions)
        self.leading = True
        self.on_lead(self)
        try:
            await asyncio.Event().wait()
        finally:
            self.leading = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def leader_of(*candidates: Candidate, within_s: float) -> Candidate:
    async with asyncio.timeout(within_s):
        while True:
            found = [each for each in candidates if each.leading]
            if found:
                return found[0]
            await asyncio.sleep(0.05)


def lease_of(api: FakeApi) -> Lease:
    found = api.get(Lease, NAME, NAMESPACE)
    assert found is not None
    return found


def test_one_of_many_leads_and_keeps_leading() -> None:
    async def body() -> None:
        api = FakeApi()
        candidates = [Candidate(api, name) for name in "abc"]
        first = await leader_of(*candidates, within_s=1)
        await asyncio.sleep(300)
        assert [each for each in candidates if each.leading] == [first]
        assert len(first.terms) == 1
        for each in candidates:
            await each.stop()
        assert lease_of(api).spec.holder_identity in ("", None)

    virtual_time.run(body())


def test_an_idle_election_writes_no_more_than_its_renewals() -> None:
    async def body() -> None:
        api = FakeApi()
        only = Candidate(api, "a")
        await leader_of(only, within_s=1)
        before = api.writes
        await asyncio.sleep(400)
        assert api.writes - before <= 400 / TIMING.every_s + 1
        await only.stop()

    virtual_time.run(body())


def test_a_holder_that_ends_well_is_followed_at_once() -> None:
    async def body() -> None:
        api = FakeApi()
        one = Candidate(api, "a")
        await leader_of(one, within_s=1)
        other = Candidate(api, "b")
        await asyncio.sleep(5)
        await one.stop()
        await leader_of(other, within_s=2 * TIMING.retry_s)
        assert other.terms > one.terms
        await other.stop()

    virtual_time.run(body())


def test_a_dead_holder_is_followed_within_the_lease_and_never_before() -> None:
    async def body() -> None:
        api = FakeApi()
        one = Candidate(api, "a")
        await leader_of(one, within_s=1)
        other = Candidate(api, "b")
        await asyncio.sleep(60)
        api.kill("a")  # as by kill -9: nothing of it arrives any more
        renewed = float(api.log[-1].at_s)
        await leader_of(other, within_s=TIMING.duration_s + 2 * TIMING.retry_s)
        loop = asyncio.get_running_loop()
        assert loop.time() - renewed >= TIMING.duration_s
        await one.stop()
        await other.stop()

    virtual_time.run(body())


def test_a_holder_that_cannot_renew_stops_before_another_may_take_over() -> None:
    async def body() -> None:
        api = FakeApi()
        one = Candidate(api, "a")
        await leader_of(one, within_s=1)
        await asyncio.sleep(20)
        api.faults = Faults(refused=1.0, of=("a",))
        last = lease_of(api).metadata.resource_version
        loop = asyncio.get_running_loop()
        start = loop.time()
        while one.leading:  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(0.05)
        assert loop.time() - start <= TIMING.renew_s + 0.1
        assert lease_of(api).metadata.resource_version == last
        await one.stop()

    virtual_time.run(body())


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_wall_clocks_that_jump_change_nothing(jump_s: float) -> None:
    """Renewed a day ago or a day from now: what counts is for how long nothing has changed."""

    async def body() -> None:
        api = FakeApi()
        real = virtual_time.clock()
        skewed = Clock(wall=lambda: real.wall() + jump_s, monotonic=real.monotonic)
        one, other = Candidate(api, "a", clock=skewed), Candidate(api, "b")
        first = await leader_of(one, other, within_s=1)
        await asyncio.sleep(120)
        assert first.leading
        assert len(one.terms) + len(other.terms) == 1
        await one.stop()
        await other.stop()

    virtual_time.run(body())


def test_who_has_the_right_leads_at_once_and_lets_go_when_it_is_gone() -> None:
    async def body() -> None:
        api = FakeApi()
        plain = Candidate(api, "plain")
        await leader_of(plain, within_s=1)
        holder = {"a"}
        one = Candidate(api, "a", right=lambda: "a" in holder)
        other = Candidate(api, "b", right=lambda: "b" in holder)
        await leader_of(one, within_s=2)
        await asyncio.sleep(TIMING.every_s + 1)
        assert not plain.leading
        holder.clear()
        holder.add("b")
        await leader_of(other, within_s=3 * TIMING.retry_s)
        assert not one.leading
        before = api.writes
        await asyncio.sleep(3600)
        assert api.writes - before <= 3
        assert [len(each.terms) for each in (plain, one, other)] == [1, 1, 1]
        for each in (plain, one, other):
            await each.stop()

    virtual_time.run(body())


def test_whose_right_was_taken_without_its_knowledge_writes_nothing_more() -> None:
    """Two replicas that take themselves for the leader: one of them is wrong for a moment."""

    async def body() -> None:
        api = FakeApi()
        one = Candidate(api, "a", right=lambda: True)
        await leader_of(one, within_s=1)
        writer = one.client.fence(f"{NAMESPACE}/{NAME}", one.terms[0])
        other = Candidate(api, "b", right=lambda: True)
        await leader_of(other, within_s=2)
        with pytest.raises(Fenced):
            await writer.create(ConfigMap(metadata=ObjectMeta(name="late", namespace="default")))
        await one.stop()
        await other.stop()

    virtual_time.run(body())


def test_what_a_deposed_leader_writes_is_refused() -> None:
    """It does not know yet that it is: it was paused between its look at the clock and the write."""

    async def body() -> None:
        api = FakeApi()
        one = Candidate(api, "a")
        await leader_of(one, within_s=1)
        writer = one.client.fence(f"{NAMESPACE}/{NAME}", one.terms[0])
        await writer.create(ConfigMap(metadata=ObjectMeta(name="before", namespace="default")))
        one.task.cancel()
        await asyncio.gather(one.task, return_exceptions=True)
        other = Candidate(api, "b")
        await leader_of(other, within_s=30)
        with pytest.raises(Fenced):
            await writer.create(ConfigMap(metadata=ObjectMeta(name="after", namespace="default")))
        assert api.get(ConfigMap, "after") is None
        await other.stop()

    virtual_time.run(body())


@pytest.mark.parametrize("seed", range(20))
def test_under_faults_two_never_lead_at_once(seed: int) -> None:
    """Lost answers, refusals and delays well below the margin between renewal and expiry."""
    random = Random(seed)

    async def body() -> None:
        api = FakeApi(seed=seed, faults=Faults(latency_s=(0.0, 0.4), lost_answers=0.1, lost_requests=0.1, refused=0.1))
        candidates = [Candidate(api, name) for name in "abc"]

        def alone(who: Candidate) -> None:
            assert [each.name for each in candidates if each.leading] == [who.name]

        for each in candidates:
            each.on_lead = alone
        for _ in range(20):
            await asyncio.sleep(random.uniform(1, 30))
            victim = random.choice(candidates)
            if random.random() < 0.5:
                api.faults.of = (victim.name,)
                api.faults.refused = 1.0
            else:
                api.faults.of, api.faults.refused = (), 0.1
        api.faults = Faults()
        await leader_of(*candidates, within_s=2 * TIMING.duration_s)
        numbers = [number for each in candidates for number in each.terms]
        assert len(numbers) == len(set(numbers))
        for each in candidates:
            assert not each.task.done()
            await each.stop()

    virtual_time.run(body(), seed=seed)
