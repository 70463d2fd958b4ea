"""Pods wait five minutes for a node that does not answer, unless they say otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from admission_world import made, pass_through, write

from apiserver.admission.limits import NOT_READY, UNREACHABLE, DefaultTolerationSeconds

PLUGIN = DefaultTolerationSeconds()


def pod(*tolerations: dict[str, Any]) -> Any:
    return made("pods", "web", namespace="team", spec={"tolerations": list(tolerations)})


def facts(admitted: Any) -> list[tuple[str, str, str, int | None]]:
    return [(each.key, each.operator, each.effect, each.toleration_seconds) for each in admitted.spec.tolerations]


def test_both_taints_are_tolerated_for_five_minutes() -> None:
    assert facts(pass_through(PLUGIN, write("pods", pod()))) == [
        (NOT_READY, "Exists", "NoExecute", 300),
        (UNREACHABLE, "Exists", "NoExecute", 300),
    ]


@pytest.mark.parametrize(
    ("toleration", "added"),
    [
        ({"key": NOT_READY, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}, [UNREACHABLE]),
        ({"key": UNREACHABLE, "operator": "Exists"}, [NOT_READY]),
        ({"operator": "Exists"}, []),
        ({"key": NOT_READY, "operator": "Exists", "effect": "NoSchedule"}, [NOT_READY, UNREACHABLE]),
        ({"key": "other", "operator": "Exists"}, [NOT_READY, UNREACHABLE]),
    ],
)
def test_what_the_pod_says_itself_counts(toleration: dict[str, Any], added: list[str]) -> None:
    admitted = pass_through(PLUGIN, write("pods", pod(toleration)))
    assert [each.key for each in admitted.spec.tolerations[1:]] == added


def test_a_manifest_that_leaves_them_out_can_be_put_again() -> None:
    old = pass_through(PLUGIN, write("pods", pod()))
    assert pass_through(PLUGIN, write("pods", pod(), old)) == old


def test_a_status_is_left_alone() -> None:
    assert facts(pass_through(PLUGIN, write("pods", pod(), pod(), subresource="status"))) == []
