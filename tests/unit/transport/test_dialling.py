"""When members are called: later after every failure up to a bound, and never two calls at a time."""

from __future__ import annotations

import asyncio

import pytest

from raftstore.raft.addresses import split_address
from raftstore.raft.connection import LinkMetrics
from raftstore.raft.dialling import Dialler, LinkTiming


def dialler(calls: list[float] | None = None, *, fail: bool = True) -> Dialler:
    async def connect() -> None:
        if calls is not None:
            calls.append(asyncio.get_running_loop().time())
        if fail:
            raise ConnectionRefusedError("nobody there")

    timing = LinkTiming(backoff_s_min=0.025, backoff_s_max=2.0)
    return Dialler(timing, LinkMetrics(), connect=connect, wanted=lambda: False, tasks=set())


def test_backoff_doubles_up_to_its_bound_with_jitter() -> None:
    ours = dialler()
    for failures in range(12):
        longest = min(2.0, 0.025 * 2**failures)
        waits = [ours.backoff_s() for _ in range(50)]
        assert all(longest / 2 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 1
        ours.failed("test")


def test_backoff_never_overflows_and_is_cleared_by_a_link_that_lasted() -> None:
    ours = dialler()
    for _ in range(5000):
        ours.link_ended(settled=False)
    assert ours.backoff_s() <= 2.0
    ours.link_ended(settled=True)
    assert ours.backoff_s() <= 0.025
    ours.failed("test")
    ours.forgive()
    assert ours.backoff_s() <= 0.025


def test_nobody_is_called_when_no_link_is_wanted_or_after_the_end() -> None:
    async def body() -> None:
        calls: list[float] = []
        ours = dialler(calls)
        ours.call_after(0.0)
        ours.stop()
        ours.call_after(0.0)
        again = dialler(calls)
        again.call_after(0.0)
        for _ in range(5):
            await asyncio.sleep(0)
        assert calls == []

    asyncio.run(body())


@pytest.mark.parametrize("address", ["", "x", ":1", "x:", "x:0", "x:65536", "x:-1", "x:1a", "x:\u0661"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(address)


def test_addresses() -> None:
    assert split_address("10.0.0.1:2380") == ("10.0.0.1", 2380)
    assert split_address("[fe80::1]:2380") == ("fe80::1", 2380)
    assert split_address("host.example:1") == ("host.example", 1)
