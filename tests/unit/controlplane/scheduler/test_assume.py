"""A pod on its way counts on its node until the cluster shows what became of it."""

from __future__ import annotations

import pytest
from controllers_world_objects import node
from scheduler_objects import Infos

from apiserver.api.pod_requests import CPU
from controlplane.scheduler.assume import Assumptions
from controlplane.scheduler.snapshot import Snapshot


class Bench:
    def __init__(self) -> None:
        self.info = Infos()
        self.snapshot = Snapshot()
        for name in ("n1", "n2"):
            self.snapshot.set_node(node(name))
        self.assumed = Assumptions(self.snapshot)

    def used(self, name: str) -> int:
        found = self.snapshot.node(name)
        assert found is not None
        return found.used.get(CPU, 0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_assumed_pod_takes_room_and_a_forgotten_one_gives_it_back(bench: Bench) -> None:
    bench.assumed.assume(bench.info("a", cpu="1"), "n1")
    assert bench.used("n1") == 1000
    assert bench.assumed.forget("a")
    assert bench.used("n1") == 0
    assert not bench.assumed.forget("a")


def test_a_confirmed_pod_stays_whoever_forgets_it_after_that(bench: Bench) -> None:
    bench.assumed.assume(bench.info("a", cpu="1"), "n1")
    bench.assumed.confirm(bench.info("a", cpu="1", node_name="n1"))
    assert not bench.assumed.forget("a")
    assert bench.used("n1") == 1000


def test_a_pod_that_came_to_another_node_counts_there_alone(bench: Bench) -> None:
    bench.assumed.assume(bench.info("a", cpu="1"), "n1")
    bench.assumed.confirm(bench.info("a", cpu="1", node_name="n2"))
    assert (bench.used("n1"), bench.used("n2")) == (0, 1000)


def test_a_pod_that_is_gone_takes_no_room(bench: Bench) -> None:
    bench.assumed.assume(bench.info("a", cpu="1"), "n1")
    bench.assumed.gone("a")
    assert bench.used("n1") == 0
    assert "a" not in bench.assumed


def test_nobody_is_assumed_twice(bench: Bench) -> None:
    bench.assumed.assume(bench.info("a"), "n1")
    with pytest.raises(ValueError, match="has a node already"):
        bench.assumed.assume(bench.info("a"), "n2")
    with pytest.raises(ValueError, match="has a node already"):
        bench.assumed.assume(bench.info("b", node_name="n1"), "n2")
