"""What `kubectl get pods -o wide` says of a pod, state by state; golden/pods.txt is read in review."""

from __future__ import annotations

from pathlib import Path

import golden
import pytest
import view_objects as some

from apiserver.registry.columns import COLUMNS
from apiserver.registry.columns.pods import ended, summarize

GOLDEN = Path(__file__).parent / "golden" / "pods.txt"


def test_pods_in_every_state_look_as_users_know_them() -> None:
    columns = COLUMNS["pods"][1:]
    lines = [" | ".join(["pod", *(each.name.upper() for each in columns)])]
    for name, pod in some.pods().items():
        lines.append(" | ".join([name, *(str(each.cell(pod, some.NOW_S)) for each in columns)]))
    golden.check_golden(GOLDEN, "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("crashing", "CrashLoopBackOff"),
        ("completed", "Completed"),
        ("terminating", "Terminating"),
        ("terminating, ended", "Completed"),
        ("node lost", "Unknown"),
        ("init 1 of 2", "Init:1/2"),
        ("init crashing", "Init:CrashLoopBackOff"),
        ("init exit code", "Init:ExitCode:2"),
        ("init signal", "Init:Signal:15"),
        ("gated", "SchedulingGated"),
        ("completed beside one, not ready", "NotReady"),
        ("evicted", "Evicted"),
    ],
)
def test_the_state_of_a_pod_in_one_word(name: str, state: str) -> None:
    assert summarize(some.pods()[name]).state == state


def test_restarts_of_init_containers_count_only_while_they_run() -> None:
    pods = some.pods()
    assert summarize(pods["init crashing"]).restarts == 3
    assert summarize(pods["init again after restart"]).restarts == 3  # those of `c`; the five of `i` are past


def test_sidecars_count_as_containers() -> None:
    pods = some.pods()
    assert summarize(pods["sidecar"])[:2] == (2, 2)
    assert summarize(pods["sidecar starting"])[:2] == (0, 2)
    assert summarize(pods["sidecar restarted"]).restarts == 3


def test_a_pod_without_any_status_has_cells_all_the_same() -> None:
    cells = [each.cell(some.pod(), some.NOW_S) for each in COLUMNS["pods"]]
    assert cells == ["a", "0/1", "", "0", "10m", "<none>", "<none>", "<none>", "<none>"]


def test_a_row_says_when_its_pod_has_ended() -> None:
    pods = some.pods()
    assert (ended(pods["completed"]) or ("",))[0] == "Succeeded"
    assert (ended(pods["evicted"]) or ("",))[0] == "Failed"
    assert ended(pods["terminating"]) is None
