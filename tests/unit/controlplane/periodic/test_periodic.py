"""Sweeps go on whatever happens to one of them; only a deposed leader stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
import virtual_time
from fake_api import FakeApi

from apiserver.api.errors import Fenced, Forbidden, ServiceUnavailable, Timeout
from apiserver.client import Informers
from controlplane.controllers.periodic import REFUSED_MAX, Periodic, Refusals
from controlplane.runtime import Context


class Sweeper:
    """Each sweep does the next thing; after the last it is content."""

    def __init__(self, *outcomes: Callable[[], float]) -> None:
        self.moments: list[float] = []
        self._outcomes = list(outcomes)

    async def sweep(self) -> float:
        self.moments.append(asyncio.get_running_loop().time())
        return self._outcomes.pop(0)() if self._outcomes else 1000.0


def failing(error: Exception) -> Callable[[], float]:
    def fail() -> float:
        raise error

    return fail


def swept(sweeper: Sweeper, seconds: float) -> list[float]:
    """The moments of sweeps, from the first one on."""

    async def main() -> None:
        client = FakeApi().client()
        part = Periodic(Context(client, Informers(client), clock=virtual_time.clock()), "test", sweeper)
        try:
            await asyncio.wait_for(part.run(), seconds)
        except TimeoutError:
            return

    virtual_time.run(main())
    return [each - sweeper.moments[0] for each in sweeper.moments]


def test_the_sweep_says_when_to_come_again() -> None:
    assert swept(Sweeper(lambda: 30.0, lambda: 5.0), 500.0) == pytest.approx([0.0, 30.0, 35.0])


@pytest.mark.parametrize("error", [ServiceUnavailable("no leader"), OSError("cut"), ValueError("broken")])
def test_one_that_fails_is_tried_again_soon_and_then_less_often(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    first, second, third, fourth = swept(Sweeper(*[failing(error)] * 3), 500.0)
    assert first == 0.0
    assert 0.5 <= second <= 1.0
    assert 1.0 <= third - second <= 2.0
    assert 2.0 <= fourth - third <= 4.0


def test_who_is_deposed_stops() -> None:
    sweeper = Sweeper(failing(Fenced("another leads")))
    with pytest.raises(Fenced):
        swept(sweeper, 500.0)


def test_what_is_refused_for_one_object_is_borne_and_no_more_than_that(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    refusals = Refusals("test")
    for _ in range(REFUSED_MAX):
        refusals.bear(Forbidden("not this one"), "default/web")
    with pytest.raises(Forbidden):
        refusals.bear(Forbidden("none of them"), "default/web")
    for error in (Fenced("another leads"), ServiceUnavailable("no leader"), Timeout("no answer")):
        with pytest.raises(type(error)):
            Refusals("test").bear(error, "default/web")
