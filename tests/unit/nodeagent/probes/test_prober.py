"""When containers are asked how they are, and what follows from what they say."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_world import UID, Answers, Ask, ProbeWorld
from virtual_time import run

Settings = dict[str, int]


def in_world(
    story: Callable[[ProbeWorld], Coroutine[Any, Any, None]], answers: Answers, *, seed: int = 0, **probes: Any
) -> None:
    async def main() -> None:
        async with ProbeWorld(answers, seed=seed, **probes) as world:
            await story(world)

    run(main(), seed=seed, shuffle=True)


def test_a_container_without_probes_is_well() -> None:
    async def story(world: ProbeWorld) -> None:
        verdict = world.verdict(world.runs())
        assert verdict.started
        assert verdict.ready
        assert verdict.alive

    in_world(story, Answers())


def test_it_is_not_ready_before_it_was_asked() -> None:
    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        assert not world.verdict(container).ready
        await asyncio.sleep(4.9)
        assert not world.answers.asked
        await asyncio.sleep(0.2)
        assert world.verdict(container).ready
        assert world.changes[UID] == 1

    in_world(story, Answers(), readiness={"initialDelaySeconds": 5})


def test_one_failure_is_none_and_three_are() -> None:
    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        await asyncio.sleep(1)
        world.answers.answer = lambda ask: False
        await asyncio.sleep(20)
        assert world.verdict(container).ready
        await asyncio.sleep(10)
        assert not world.verdict(container).ready
        assert world.verdict(container).alive
        assert world.heard.events[0] == ("Unhealthy", "Readiness probe failed: not well", "main")

    in_world(story, Answers(), readiness={})


def test_a_failed_liveness_probe_asks_for_a_new_container_and_for_nothing_else() -> None:
    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        await asyncio.sleep(60)
        verdict = world.verdict(container)
        assert not verdict.alive
        assert verdict.message == "Container main failed liveness probe"
        assert verdict.grace_period_s == 7
        assert len(world.answers.asked) == 2, "it is to be replaced: nobody asks it any more"
        other = world.runs("two")
        assert world.verdict(other).alive
        await asyncio.sleep(1)
        assert world.answers.asked[-1].container_id == "two"

    liveness = {"failureThreshold": 2, "periodSeconds": 5, "terminationGracePeriodSeconds": 7}
    in_world(story, Answers(lambda ask: False), liveness=liveness)


def test_nothing_else_is_asked_until_it_has_started() -> None:
    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        await asyncio.sleep(25)
        assert {each.kind for each in world.answers.asked} == {"startup"}
        assert not world.verdict(container).started
        world.answers.answer = lambda ask: True
        await asyncio.sleep(6)
        assert world.verdict(container).started
        assert world.verdict(container).ready, "asked at once"
        count = len(world.answers.times("startup"))
        await asyncio.sleep(100)
        assert len(world.answers.times("startup")) == count

    startup = {"failureThreshold": 30, "periodSeconds": 5}
    in_world(story, Answers(lambda ask: False), startup=startup, liveness={}, readiness={})


def test_a_startup_probe_that_never_succeeds() -> None:
    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        await asyncio.sleep(100)
        assert not world.verdict(container).alive
        assert world.verdict(container).message == "Container main failed startup probe"
        assert len(world.answers.asked) == 3

    in_world(story, Answers(lambda ask: False), startup={})


def test_a_new_agent_believes_what_the_api_shows_until_it_knows_better() -> None:
    """Its restart takes nobody out of a Service."""

    async def story(world: ProbeWorld) -> None:
        world.met_anew()
        world.shown("one", ready=True)
        container = world.runs(since_s=1000)
        assert world.verdict(container).ready
        assert world.verdict(container).started
        await asyncio.sleep(15)
        assert world.verdict(container).ready
        assert not world.answers.times("startup"), "it has started long ago"
        await asyncio.sleep(40)
        assert not world.verdict(container).ready

    in_world(story, Answers(lambda ask: False), startup={}, readiness={})


@pytest.mark.parametrize("shown", ["another", "one"])
def test_a_new_agent_believes_nothing_of_another_container_or_of_one_that_was_not_ready(shown: str) -> None:
    async def story(world: ProbeWorld) -> None:
        world.met_anew()
        world.shown(shown, ready=shown == "another", started=shown == "another")
        container = world.runs(since_s=1000)
        assert not world.verdict(container).ready
        assert not world.verdict(container).started

    in_world(story, Answers(), startup={}, readiness={})


def test_a_new_agent_does_not_ask_everybody_at_once() -> None:
    firsts = set()
    for seed in range(20):

        async def main(seed: int = seed) -> None:
            async with ProbeWorld(Answers(), seed=seed, readiness={}) as world:
                world.met_anew()
                world.runs(since_s=100)
                await asyncio.sleep(10)
                firsts.add(round(world.answers.asked[0].at_s, 2))

        run(main())
    assert len(firsts) > 10
    assert 0 <= min(firsts) < max(firsts) <= 10


def test_what_could_not_be_asked_changes_nothing() -> None:
    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        await asyncio.sleep(1)
        world.answers.answer = lambda ask: None
        await asyncio.sleep(200)
        assert world.verdict(container).ready
        assert world.verdict(container).alive
        words = "Liveness probe errored and resulted in unknown state: connection refused"
        assert ("Unhealthy", words, "main") in world.heard.events

    in_world(story, Answers(), liveness={}, readiness={})


def test_a_probe_that_takes_too_long_has_failed_and_does_not_pile_up() -> None:
    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        await asyncio.sleep(40)
        assert not world.verdict(container).alive
        assert world.answers.most_at_once == 1
        words = 'Liveness probe failed: command timed out: "liveness" timed out after 5s'
        assert world.heard.events[0] == ("Unhealthy", words, "main")

    in_world(story, Answers(takes_s=50), liveness={"periodSeconds": 1, "timeoutSeconds": 5})


def test_only_so_many_are_asked_at_once() -> None:
    async def main() -> None:
        answers = Answers(takes_s=0.5)
        async with ProbeWorld(answers, at_once=1, readiness={}, liveness={}) as world:
            world.runs()
            await asyncio.sleep(30)
            assert answers.most_at_once == 1
            assert len(answers.times("readiness")) >= 3
            assert len(answers.times("liveness")) >= 3

    run(main())


def test_while_a_pod_ends_only_readiness_goes_on() -> None:
    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        await asyncio.sleep(1)
        world.prober.ending(UID)
        world.answers.answer = lambda ask: False
        await asyncio.sleep(100)
        assert world.verdict(container).alive
        assert not world.verdict(container).ready
        assert len(world.answers.times("liveness")) == 1

    in_world(story, Answers(), liveness={}, readiness={})


def test_nobody_asks_a_container_that_has_ended_or_a_pod_that_is_gone() -> None:
    async def story(world: ProbeWorld) -> None:
        world.runs()
        await asyncio.sleep(1)
        world.look()
        count = len(world.answers.asked)
        await asyncio.sleep(100)
        assert len(world.answers.asked) == count
        world.runs("two")
        await asyncio.sleep(1)
        assert len(world.answers.asked) > count
        world.prober.forget(UID)
        count = len(world.answers.asked)
        await asyncio.sleep(100)
        assert len(world.answers.asked) == count

    in_world(story, Answers(), liveness={}, readiness={})


def test_nothing_is_left_when_the_agent_ends() -> None:
    async def main() -> None:
        answers = Answers()
        world = ProbeWorld(answers, readiness={})
        async with world:
            container = world.runs()
            await asyncio.sleep(1)
            assert world.verdict(container).ready
            await world.end()
            assert not world.verdict(container).ready
            await asyncio.sleep(100)
            assert len(answers.asked) == 1

    run(main())


def test_an_answer_that_comes_after_the_end_counts_for_nobody() -> None:
    async def story(world: ProbeWorld) -> None:
        world.runs()
        await asyncio.sleep(0.5)
        other = world.runs("two")
        await asyncio.sleep(0.2)
        assert world.answers.at_once == 1, "what was asked before was given up"
        world.look()
        await asyncio.sleep(10)
        assert not world.heard.events
        assert not world.verdict(other).ready

    in_world(story, Answers(lambda ask: False, takes_s=0.9), readiness={})


# --- any outcomes, against a small model ------------------------------------------------------------------

KINDS = ("startup", "liveness", "readiness")
OUTCOMES = st.lists(st.sampled_from([True, False, None]), min_size=40, max_size=40)


def probe_settings(kind: str) -> st.SearchStrategy[Settings]:
    successes = st.integers(1, 3) if kind == "readiness" else st.just(1)
    return st.fixed_dictionaries(
        {
            "initialDelaySeconds": st.integers(0, 20),
            "periodSeconds": st.integers(1, 10),
            "failureThreshold": st.integers(1, 3),
            "successThreshold": successes,
        }
    )


def modelled(kind: str, given_settings: Settings, outcomes: list[bool | None]) -> bool | None:
    """The last outcome of which enough came in a row; what could not be found out is as if it had not been asked."""
    state: bool | None = {"startup": None, "liveness": True, "readiness": False}[kind]
    known = [each for each in outcomes if each is not None]
    for end in range(1, len(known) + 1):
        for value, count in ((True, given_settings["successThreshold"]), (False, given_settings["failureThreshold"])):
            if known[max(0, end - count) : end] == [value] * count:
                state = value
    return state


@settings(max_examples=150, deadline=None)
@given(
    chosen=st.sets(st.sampled_from(KINDS), min_size=1),
    wanted=st.fixed_dictionaries({kind: probe_settings(kind) for kind in KINDS}),
    told=st.fixed_dictionaries(dict.fromkeys(KINDS, OUTCOMES)),
    takes_s=st.sampled_from([0.0, 0.01, 0.7]),
    seed=st.integers(0, 1000),
)
def test_any_outcomes_mean_what_the_model_says(
    chosen: set[str], wanted: dict[str, Settings], told: dict[str, list[bool | None]], takes_s: float, seed: int
) -> None:
    answered: dict[str, list[bool | None]] = {kind: [] for kind in KINDS}
    began_others: list[float] = []

    def answer(ask: Ask) -> bool | None:
        history = answered[ask.kind]
        outcome = told[ask.kind][len(history)] if len(history) < 40 else True
        history.append(outcome)
        if ask.kind == "startup" and outcome:
            began_others.append(ask.at_s + takes_s)
        return outcome

    def state(kind: str) -> bool | None:
        return modelled(kind, wanted[kind], answered[kind]) if kind in chosen else True

    async def story(world: ProbeWorld) -> None:
        container = world.runs()
        for _ in range(300):
            await asyncio.sleep(0.37)
            verdict = world.verdict(container)
            assert verdict.started == (state("startup") is True)
            assert verdict.ready == (state("readiness") is True)
            assert verdict.alive == (state("startup") is not False and state("liveness") is True)
        check_times(world.answers)

    def check_times(answers: Answers) -> None:
        for kind in chosen:
            times, period = answers.times(kind), wanted[kind]["periodSeconds"]
            assert all(b - a == pytest.approx(max(period, takes_s)) for a, b in itertools.pairwise(times))
            at_once = kind == "startup" or "startup" not in chosen
            begins = 0.0 if at_once else next(iter(began_others), None)
            if begins is None:
                assert not times, "nothing else is asked before it has started"
            elif times:
                assert times[0] == pytest.approx(max(begins, wanted[kind]["initialDelaySeconds"]))
        if "startup" in chosen:
            assert True not in answered["startup"][:-1], "it is asked no more once it has started"
        for kind in chosen - {"readiness"}:
            before = answered[kind][:-1]
            assert modelled(kind, wanted[kind], before) is not False, "what is to be replaced is asked no more"

    in_world(story, Answers(answer, takes_s=takes_s), seed=seed, **{kind: wanted[kind] for kind in chosen})
