"""The simulated runtime keeps the promises of the interface, so that what is tested on it holds for a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import now_s, run

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.probes import Probe
from nodeagent.runtime.addresses import Addresses, NoAddress
from nodeagent.runtime.fake import FakeRuntime, Latency
from nodeagent.runtime.faults import RULES_MAX, Fault, Faults, parse_fault
from nodeagent.runtime.interface import (
    Container,
    ContainerConfig,
    ContainerPhase,
    ImageFailure,
    NotThere,
    PodKey,
    RuntimeFailure,
    SandboxConfig,
    Unavailable,
)

KEY = PodKey(namespace="default", name="a", uid="u1")
IMAGE = "registry.test/main:1"


def config(key: PodKey = KEY, *, attempt: int = 0, host_network: bool = False) -> SandboxConfig:
    return SandboxConfig(pod=key, attempt=attempt, labels={"app": key.name}, host_network=host_network)


async def started(runtime: FakeRuntime, key: PodKey = KEY, *, runs_to_end: bool = False) -> tuple[str, str]:
    sandbox = await runtime.run_sandbox(config(key))
    await runtime.pull_image(IMAGE)
    made = ContainerConfig(name="main", attempt=0, image=IMAGE, runs_to_end=runs_to_end)
    container = await runtime.create_container(sandbox, made)
    await runtime.start_container(container)
    return sandbox, container


async def the_one(runtime: FakeRuntime) -> Container:
    (found,) = await runtime.list_containers()
    return found


def on_virtual_time(story: Callable[[FakeRuntime], Awaitable[None]], latency: Latency | None = None) -> None:
    async def main() -> None:
        await story(FakeRuntime(latency=latency, wall=now_s, random=Random(1)))

    run(main())


def test_from_sandbox_to_end() -> None:
    async def story(runtime: FakeRuntime) -> None:
        sandbox, container = await started(runtime)
        found = await the_one(runtime)
        assert (found.phase, found.id, found.sandbox_id, found.pod) == (
            ContainerPhase.RUNNING,
            container,
            sandbox,
            KEY,
        )
        assert (await runtime.list_sandboxes(pod_uid="u1"))[0].ips == ("10.244.0.2",)
        await runtime.stop_container(container, grace_period_s=5)
        found = await the_one(runtime)
        assert (found.phase, found.exit_code, found.reason) == (ContainerPhase.EXITED, 0, "Completed")
        await runtime.stop_sandbox(sandbox)
        assert not (await runtime.list_sandboxes())[0].ready
        await runtime.remove_sandbox(sandbox)
        assert not await runtime.list_sandboxes()
        assert not await runtime.list_containers()

    on_virtual_time(story)


def test_stopping_what_is_stopped_or_gone_does_nothing() -> None:
    async def story(runtime: FakeRuntime) -> None:
        sandbox, container = await started(runtime)
        for _ in range(2):
            await runtime.stop_container(container, grace_period_s=1)
        for _ in range(2):
            await runtime.remove_container(container)
        for _ in range(2):
            await runtime.stop_sandbox(sandbox)
        for _ in range(2):
            await runtime.remove_sandbox(sandbox)
        await runtime.stop_container("nope", grace_period_s=1)

    on_virtual_time(story)


def test_what_cannot_be() -> None:
    async def story(runtime: FakeRuntime) -> None:
        with pytest.raises(NotThere):
            await runtime.create_container("nope", ContainerConfig(name="main", attempt=0, image=IMAGE))
        sandbox = await runtime.run_sandbox(config())
        with pytest.raises(RuntimeFailure, match="reserved"):
            await runtime.run_sandbox(config())
        with pytest.raises(NotThere, match="image"):
            await runtime.create_container(sandbox, ContainerConfig(name="main", attempt=0, image=IMAGE))
        with pytest.raises(NotThere):
            await runtime.start_container("nope")
        await runtime.pull_image(IMAGE)
        container = await runtime.create_container(sandbox, ContainerConfig(name="main", attempt=0, image=IMAGE))
        await runtime.start_container(container)
        with pytest.raises(RuntimeFailure, match="before"):
            await runtime.start_container(container)
        await runtime.stop_sandbox(sandbox)
        with pytest.raises(NotThere):
            await runtime.create_container(sandbox, ContainerConfig(name="main", attempt=1, image=IMAGE))

    on_virtual_time(story)


def test_things_take_their_time() -> None:
    async def story(runtime: FakeRuntime) -> None:
        loop = asyncio.get_running_loop()
        await started(runtime, runs_to_end=True)
        assert loop.time() == 1 + 2 + 3
        await asyncio.sleep(3.9)
        assert (await the_one(runtime)).running
        await asyncio.sleep(0.2)
        assert (await the_one(runtime)).exited

    on_virtual_time(story, Latency(sandbox_s=1, pull_s=2, start_s=3, init_s=4))


def test_an_exit_that_is_asked_for_does_not_wait_for_one_that_was_to_come() -> None:
    async def story(runtime: FakeRuntime) -> None:
        runtime.faults.add(lambda pod, labels: True, Fault.exits(after_s=100, code=3))
        _, container = await started(runtime)
        stopping = asyncio.create_task(runtime.stop_container(container, grace_period_s=30))
        await asyncio.sleep(1)
        runtime.faults.clear()  # a change of faults does not spare who is asked to end
        await stopping
        assert asyncio.get_running_loop().time() == 5
        assert (await the_one(runtime)).exit_code == 0

    on_virtual_time(story, Latency(stop_s=5))


def test_when_it_is_down_it_says_so_and_forgets_nothing() -> None:
    async def story(runtime: FakeRuntime) -> None:
        await started(runtime)
        listening = asyncio.create_task(_first_event(runtime))
        await asyncio.sleep(0)
        runtime.go_down("gone")
        with pytest.raises(Unavailable, match="gone"):
            await listening
        with pytest.raises(Unavailable):
            await runtime.list_containers()
        assert len(runtime.running) == 1
        runtime.come_back()
        assert (await the_one(runtime)).running

    on_virtual_time(story)


async def _first_event(runtime: FakeRuntime) -> str:
    async for event in runtime.events():
        return event.pod_uid
    return ""


def test_events_name_the_pod_once() -> None:
    async def story(runtime: FakeRuntime) -> None:
        seen: list[str] = []

        async def listen() -> None:
            async for event in runtime.events():
                seen.append(event.pod_uid)

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await started(runtime)
        await asyncio.sleep(0.1)
        assert set(seen) == {"u1"}
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    on_virtual_time(story)


def test_images_fail_for_the_pod_that_a_fault_names() -> None:
    async def story(runtime: FakeRuntime) -> None:
        runtime.faults.add(lambda pod, labels: labels.get("app") == "a", Fault.bad_image("no such host"))
        with pytest.raises(ImageFailure, match="no such host"):
            await runtime.pull_image(IMAGE, config=config())
        other = PodKey(namespace="default", name="b", uid="u2")
        assert await runtime.pull_image(IMAGE, config=config(other))
        assert await runtime.image(IMAGE, config=config()) is None
        assert await runtime.image(IMAGE, config=config(other)) is not None

    on_virtual_time(story)


def test_verdicts_come_with_the_probes() -> None:
    async def story(runtime: FakeRuntime) -> None:
        await started(runtime)
        spec = ContainerSpec(
            name="main",
            startup_probe=Probe(initial_delay_seconds=5),
            readiness_probe=Probe(initial_delay_seconds=8),
        )
        found = await the_one(runtime)
        first = runtime.verdict(spec, found)
        assert (first.started, first.ready, first.look_again_s) == (False, False, 5)
        await asyncio.sleep(5)
        second = runtime.verdict(spec, found)
        assert (second.started, second.ready, second.look_again_s) == (True, False, 3)
        await asyncio.sleep(3)
        third = runtime.verdict(spec, found)
        assert (third.started, third.ready, third.look_again_s) == (True, True, None)

    on_virtual_time(story)


def test_the_nodes_own_network_takes_no_address() -> None:
    async def story(runtime: FakeRuntime) -> None:
        await runtime.run_sandbox(config(host_network=True))
        assert (await runtime.list_sandboxes())[0].ips == ()

    on_virtual_time(story)


# --- addresses ----------------------------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=60))
def test_no_address_is_given_twice(steps: list[bool]) -> None:
    addresses, held = Addresses("10.0.0.0/28"), list[str]()
    for take in steps:
        if take:
            try:
                new = addresses.take()
            except NoAddress:
                assert len(held) == 13
                continue
            assert new not in held
            assert new not in ("10.0.0.0", "10.0.0.1", "10.0.0.15")
            held.append(new)
        elif held:
            addresses.give_back(held.pop(0))


def test_an_address_rests_before_it_is_used_again() -> None:
    addresses = Addresses("10.0.0.0/29")
    first = addresses.take()
    addresses.give_back(first)
    assert [addresses.take() for _ in range(4)] == ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    assert addresses.take() == first


# --- faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("never-ready", Fault.never_ready()),
        ("exit after=5 code=3", Fault.exits(after_s=5, code=3)),
        (
            "exit after=0.5 reason=OOMKilled code=137 container=main",
            Fault(what="exit", after=0.5, reason="OOMKilled", code=137, container="main"),
        ),
    ],
)
def test_a_fault_as_text(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@given(st.text(max_size=200))
def test_any_text_is_a_fault_or_one_clear_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_fault(text).what in text


@pytest.mark.parametrize("text", ["", "explode", "exit after=soon", "exit code", "exit size=3"])
def test_a_bad_fault_says_why(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no fault|Expected|unknown"):
        parse_fault(text)


def test_rules_are_bounded_and_can_be_taken_back_twice() -> None:
    faults = Faults()
    rules = [faults.add(lambda pod, labels: True, Fault.deaf()) for _ in range(RULES_MAX)]
    with pytest.raises(ValueError, match="already"):
        faults.add(lambda pod, labels: True, Fault.deaf())
    faults.remove(rules[0])
    faults.remove(rules[0])
    assert len(list(faults.of("deaf", KEY, {}, {}))) == RULES_MAX - 1
    faults.clear()
    assert list(faults.of("deaf", KEY, {}, {})) == []
