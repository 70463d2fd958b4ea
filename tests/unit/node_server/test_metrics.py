"""Numbers in Prometheus' form, and what they are called."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from apiserver.api.core.pod import Pod, PodStatus
from apiserver.api.meta import ObjectMeta
from apiserver.client import Change
from nodeagent.runtime.fake import FakeRuntime
from nodeagent.server.exposition import Exposition
from nodeagent.server.metrics import Metrics, operation_name
from nodeagent.server.pod_starts import PodStarts
from nodeagent.timings import Timing


def numbers(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text.decode())
    return {(each.name, tuple(each.labels.items())): each.value for family in families for each in family.samples}


def test_what_is_written_is_read_back() -> None:
    made, timing = Exposition(), Timing()
    for seconds in (0.001, 0.02, 0.02, 100.0):
        timing.observe(seconds)
    made.gauge("a", "About a", [({"x": 'q"uo\\te\nd'}, 1.5), ({"x": "y"}, 2)])
    made.counter("b_total", "About b", [({}, 7)])
    made.histogram("c_seconds", "About c", [({"k": "v"}, timing)])
    found = numbers(made.text)
    assert found["a", (("x", 'q"uo\\te\nd'),)] == 1.5
    assert found["b_total", ()] == 7
    assert found["c_seconds_count", (("k", "v"),)] == 4
    assert found["c_seconds_sum", (("k", "v"),)] == pytest.approx(100.041)
    assert found["c_seconds_bucket", (("k", "v"), ("le", "0.005"))] == 1
    assert found["c_seconds_bucket", (("k", "v"), ("le", "0.03125"))] == 3
    assert found["c_seconds_bucket", (("k", "v"), ("le", "+Inf"))] == 4


def test_a_timing_counts_errors_too() -> None:
    timing = Timing()
    with timing.measured():
        pass
    with pytest.raises(ValueError, match="no"), timing.measured():
        raise ValueError("no")
    assert (sum(timing.counts), timing.errors) == (2, 1)


def test_names_of_operations() -> None:
    names = ["RuntimeService/RunPodSandbox", "RuntimeService/ListContainers", "ImageService/PullImage"]
    assert [operation_name(f"/runtime.v1.{name}") for name in names] == [
        "run_podsandbox",
        "list_containers",
        "pull_image",
    ]
    assert operation_name("/containerd.services.leases.v1.Leases/Create") == ""


def test_the_agents_own() -> None:
    async def story() -> None:
        slow = Timing()
        slow.observe(0.1)
        slow.errors += 1
        operations = {
            "/runtime.v1.RuntimeService/Version": slow,
            "/containerd.services.leases.v1.Leases/Create": slow,
            "/containerd.services.images.v1.Images/Create": slow,
        }
        runtime = FakeRuntime()
        metrics = Metrics(
            "n1",
            runtime,
            None,  # type: ignore[arg-type]  # not asked
            PodStarts(),
            operations=operations,
            counters=lambda: {("more_total", "More"): [({"why": "so"}, 3)]},
        )
        found = numbers((await metrics.own(None, (), ())).body)  # type: ignore[arg-type,attr-defined]
        assert found["kubelet_node_name", (("node", "n1"),)] == 1
        assert found["kubelet_running_pods", ()] == 0
        assert found["more_total", (("why", "so"),)] == 3
        assert found["process_resident_memory_bytes", ()] > 1_000_000
        operation = (("operation_type", "version"),)
        assert [each for each in found if each[0] == "kubelet_runtime_operations_total"] == [
            ("kubelet_runtime_operations_total", operation)
        ]
        assert found["kubelet_runtime_operations_errors_total", operation] == 1
        runtime.go_down()
        found = numbers((await metrics.own(None, (), ())).body)  # type: ignore[arg-type,attr-defined]
        assert "kubelet_running_pods" not in {name for name, _ in found}
        assert found["more_total", (("why", "so"),)] == 3

    asyncio.run(story())


def test_how_long_pods_took() -> None:
    def pod(uid: str, phase: str) -> Pod:
        meta = ObjectMeta(name=uid, uid=uid, creation_timestamp="2026-01-02T03:04:05Z")
        return Pod(metadata=meta, status=PodStatus(phase=phase))

    starts = PodStarts(wall=lambda: 1767323055.0)  # ten seconds later
    for uid, kind, phase in (
        ("before", "added", "Running"),
        ("before", "updated", "Running"),
        ("new", "added", "Pending"),
        ("new", "updated", "Pending"),
        ("new", "updated", "Running"),
        ("new", "updated", "Running"),
        ("gone", "added", ""),
        ("gone", "deleted", "Pending"),
        ("failed", "added", ""),
        ("failed", "updated", "Failed"),
    ):
        starts.changed(Change(kind, pod(uid, phase)))  # type: ignore[arg-type]  # only what is asked for here
    assert (sum(starts.timing.counts), starts.timing.seconds) == (1, 10.0)
    assert starts._waiting == set()
