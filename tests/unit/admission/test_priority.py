"""Priority: the class decides, one class at most is the default."""

from __future__ import annotations

from typing import Any

import pytest
from admission_world import made, pass_through, refusal, write
from two_views import TwoViews

from apiserver.admission.priority import CLASSES, Priority

PLUGIN = Priority()


def classes(*found: Any) -> TwoViews:
    lookup = TwoViews()
    for each in found:
        lookup.put(CLASSES, each)
    return lookup


def priority_class(name: str, value: int, **fields: Any) -> Any:
    return made(CLASSES, name, value=value, **fields)


def pod(**spec: Any) -> Any:
    return made("pods", "web", namespace="team", spec=spec)


def facts(admitted: Any) -> tuple[str, int, str]:
    return admitted.spec.priority_class_name, admitted.spec.priority, admitted.spec.preemption_policy


def test_a_pod_gets_the_number_of_its_class() -> None:
    lookup = classes(priority_class("high", 1000, preemptionPolicy="Never"))
    assert facts(pass_through(PLUGIN, write("pods", pod(priorityClassName="high")), lookup)) == ("high", 1000, "Never")


def test_a_class_that_is_new_here_is_found() -> None:
    lookup = TwoViews()
    lookup.commit(CLASSES, priority_class("high", 1000))
    assert facts(pass_through(PLUGIN, write("pods", pod(priorityClassName="high")), lookup))[1] == 1000


def test_without_a_class_the_least_default_counts() -> None:
    lookup = classes(
        priority_class("a", 20, globalDefault=True),
        priority_class("b", 10, globalDefault=True),
        priority_class("c", 5),
    )
    assert facts(pass_through(PLUGIN, write("pods", pod()), lookup)) == ("b", 10, "PreemptLowerPriority")


def test_without_any_class_the_priority_is_nothing() -> None:
    assert facts(pass_through(PLUGIN, write("pods", pod()))) == ("", 0, "PreemptLowerPriority")


@pytest.mark.parametrize(
    ("name", "value"), [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]
)
def test_the_classes_of_the_system_are_always_there(name: str, value: int) -> None:
    assert facts(pass_through(PLUGIN, write("pods", pod(priorityClassName=name))))[1] == value


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"priorityClassName": "none"}, "no PriorityClass with name none was found"),
        (
            {"priorityClassName": "high", "priority": 7},
            "the integer value of priority (7) must not be provided in pod spec; priority admission controller "
            "computed 1000 from the given PriorityClass name",
        ),
        (
            {"priorityClassName": "high", "preemptionPolicy": "Never"},
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission "
            "controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
    ],
)
def test_nobody_gives_himself_a_priority(spec: dict[str, Any], why: str) -> None:
    error = refusal(PLUGIN, write("pods", pod(**spec)), classes(priority_class("high", 1000)))
    assert (error.status_code, error.message) == (403, f'pods "web" is forbidden: {why}')


def test_the_number_that_the_class_gives_may_be_said() -> None:
    request = write("pods", pod(priorityClassName="high", priority=1000))
    assert facts(pass_through(PLUGIN, request, classes(priority_class("high", 1000))))[1] == 1000


def test_an_update_that_leaves_it_out_keeps_it() -> None:
    old = pod(priorityClassName="high", priority=1000, preemptionPolicy="Never")
    assert facts(pass_through(PLUGIN, write("pods", pod(priorityClassName="high"), old))) == ("high", 1000, "Never")


def test_there_is_one_default_class() -> None:
    lookup = classes(priority_class("a", 20, globalDefault=True))
    error = refusal(PLUGIN, write(CLASSES, priority_class("b", 1, globalDefault=True)), lookup)
    assert error.message == (
        'priorityclasses.scheduling.k8s.io "b" is forbidden: '
        "PriorityClass a is already marked as default. Only one default can exist"
    )
    default = priority_class("a", 20, globalDefault=True)
    pass_through(PLUGIN, write(CLASSES, default, default), lookup)
    pass_through(PLUGIN, write(CLASSES, priority_class("b", 1)), lookup)
