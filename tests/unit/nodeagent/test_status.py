"""Phase, conditions and container states as pure functions: every combination says what the kubelet would say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.core.pod import Pod, PodCondition, PodIP
from nodeagent.conditions import OWN, merged
from nodeagent.decide import decide
from nodeagent.health import WELL
from nodeagent.observed import observed
from nodeagent.phase import FINISHED
from nodeagent.runtime.interface import Container, ContainerPhase, PodKey, Sandbox
from nodeagent.status import Ending, Facts, Waiting, pod_status, rejected_status

KEY = PodKey(namespace="default", name="a", uid="u")
SANDBOX = Sandbox(id="s", pod=KEY, attempt=0, ready=True, created_at=1.0, ips=("10.0.0.2",))


def make(policy: str = "Always", *, containers: int = 1, inits: int = 0, sidecars: int = 0) -> Pod:
    spec: dict[str, Any] = {
        "restartPolicy": policy,
        "containers": [{"name": f"c{number}", "image": "i"} for number in range(containers)],
        "initContainers": [{"name": f"i{number}", "image": "i"} for number in range(inits)]
        + [{"name": f"s{number}", "image": "i", "restartPolicy": "Always"} for number in range(sidecars)],
    }
    return msgspec.convert({"metadata": {"name": "a", "namespace": "default", "uid": "u"}, "spec": spec}, Pod)


def container(name: str, state: str, *, attempt: int = 0) -> Container:
    """`state`: created, running, or the exit code."""
    code = int(state) if state.isdigit() else 0
    phase = ContainerPhase.EXITED if state.isdigit() else ContainerPhase(state)
    return Container(
        id=f"{name}-{attempt}", sandbox_id="s", pod=KEY, name=name, attempt=attempt, image="i", image_id="sha256:1",
        phase=phase, created_at=1.0, started_at=2.0, finished_at=3.0, exit_code=code,
    )  # fmt: skip


def facts(*containers: Container, **more: Any) -> Facts:
    given = {"waiting": {}, "host_ips": ["192.0.2.1"], "start_time": "t", "runtime": "fake"} | more
    sandboxes = [] if more.get("ended") else [SANDBOX]
    return Facts(seen=observed(sandboxes, containers), judge=lambda spec, found: WELL, **given)


def states(text: str) -> list[Container]:
    """`c0:running i0:0` and so on."""
    return [container(*word.split(":")) for word in text.split()]


@pytest.mark.parametrize(
    ("policy", "shape", "found", "ended", "phase"),
    [
        ("Always", {}, "", False, "Pending"),
        ("Always", {}, "c0:created", False, "Pending"),
        ("Always", {}, "c0:running", False, "Running"),
        ("Always", {}, "c0:1", False, "Running"),
        ("Always", {}, "c0:0", False, "Running"),
        ("Always", {"containers": 2}, "c0:running", False, "Pending"),
        ("Always", {"containers": 2}, "c0:running c1:1", False, "Running"),
        ("Always", {}, "c0:0", True, "Succeeded"),
        ("Always", {}, "c0:137", True, "Failed"),
        ("Always", {}, "", True, "Failed"),
        ("OnFailure", {}, "c0:1", False, "Running"),
        ("OnFailure", {"containers": 2}, "c0:0 c1:running", False, "Running"),
        ("Never", {}, "c0:0", True, "Succeeded"),
        ("Never", {"containers": 2}, "c0:0 c1:1", True, "Failed"),
        ("Never", {"containers": 2}, "c0:1 c1:running", False, "Running"),
        ("Always", {"inits": 2}, "i0:0 i1:running", False, "Pending"),
        ("Always", {"inits": 1}, "i0:0 c0:running", False, "Running"),
        ("Always", {"inits": 1}, "i0:1", False, "Pending"),
        ("Never", {"inits": 1}, "i0:1", True, "Failed"),
        ("Always", {"sidecars": 1}, "s0:running", False, "Pending"),
        ("Always", {"sidecars": 1}, "s0:running c0:running", False, "Running"),
        ("Always", {"sidecars": 1}, "s0:1 c0:running", False, "Running"),
    ],
)
def test_phases(policy: str, shape: dict[str, int], found: str, ended: bool, phase: str) -> None:
    assert pod_status(make(policy, **shape), facts(*states(found), ended=ended)).phase == phase


STATE = st.sampled_from(["", "created", "running", "0", "1", "137"])


@given(
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    inits=st.lists(STATE, max_size=2),
    sidecars=st.lists(STATE, max_size=2),
    mains=st.lists(STATE, min_size=1, max_size=3),
    ended=st.booleans(),
)
def test_whatever_the_runtime_says_the_story_holds_together(
    policy: str, inits: list[str], sidecars: list[str], mains: list[str], ended: bool
) -> None:
    pod = make(policy, containers=len(mains), inits=len(inits), sidecars=len(sidecars))
    named = [("i", inits), ("s", sidecars), ("c", mains)]
    found = [
        container(f"{kind}{number}", state)
        for kind, listed in named
        for number, state in enumerate(listed)
        if state and not (ended and state in ("created", "running"))
    ]
    status = pod_status(pod, facts(*found, ended=ended))
    conditions = {each.type: each.status for each in status.conditions}
    assert list(conditions) == list(OWN)
    assert (status.phase in FINISHED) == ended, "Succeeded and Failed are for good"
    if conditions["Ready"] == "True":
        assert status.phase == "Running"
        assert all(each.ready for each in status.container_statuses)
    for each in [*status.init_container_statuses, *status.container_statuses]:
        shown = [each.state.waiting, each.state.running, each.state.terminated]
        assert sum(state is not None for state in shown) == 1
    if not ended:
        decision = decide(pod, observed([SANDBOX], found), lambda spec, container: WELL)
        running = {each.name for each in found if each.running}
        assert not running & {spec.name for spec in decision.start}, "what runs is not started again"
        if decision.finished:
            assert not decision.start
            assert policy != "Always"


def test_what_a_container_waits_for_is_shown_before_how_it_ended() -> None:
    waiting = {"c0": Waiting("CrashLoopBackOff", "wait")}
    status = pod_status(make(), facts(container("c0", "1", attempt=3), waiting=waiting)).container_statuses[0]
    assert status.state.waiting is not None
    assert (status.state.waiting.reason, status.restart_count) == ("CrashLoopBackOff", 3)
    assert status.last_state.terminated is not None
    assert status.last_state.terminated.container_id == "fake://c0-3"


def test_the_last_state_is_the_one_before() -> None:
    history = [container("c0", "running", attempt=2), container("c0", "7", attempt=1)]
    status = pod_status(make(), facts(*history)).container_statuses[0]
    assert status.state.running is not None
    assert status.last_state.terminated is not None
    assert (status.last_state.terminated.exit_code, status.last_state.terminated.reason) == (7, "Error")


def test_who_ended_a_pod_is_named_once_nothing_runs() -> None:
    ending = Ending("DeadlineExceeded", "too long")
    running = pod_status(make(), facts(container("c0", "running"), ending=ending))
    assert (running.phase, running.reason) == ("Running", "")
    over = pod_status(make(), facts(container("c0", "0"), ending=ending, ended=True))
    assert (over.phase, over.reason, over.message) == ("Failed", "DeadlineExceeded", "too long")
    refused = rejected_status(Ending("OutOfcpu", "no"), "t")
    assert (refused.phase, refused.reason, refused.container_statuses) == ("Failed", "OutOfcpu", [])


def test_an_address_stays_with_a_pod_that_ended() -> None:
    pod = make("Never")
    pod.status = pod_status(pod, facts(container("c0", "running")))
    assert pod.status.pod_ip == "10.0.0.2"
    assert pod_status(pod, facts(container("c0", "0"), ended=True)).pod_ip == "10.0.0.2"


def test_conditions_keep_their_times_and_those_of_others() -> None:
    known = [
        PodCondition(type="Ready", status="True", last_transition_time="1"),
        PodCondition(type="theirs", status="True", last_transition_time="1"),
    ]
    same = merged([PodCondition(type="Ready", status="True")], known, "2")
    assert [(each.type, each.last_transition_time) for each in same] == [("Ready", "1"), ("theirs", "1")]
    changed = merged([PodCondition(type="Ready", status="False")], known, "2")
    assert [(each.type, each.last_transition_time) for each in changed] == [("Ready", "2"), ("theirs", "1")]


def test_initialization_names_what_it_waits_for() -> None:
    pod = make(inits=2)
    status = pod_status(pod, facts(container("i0", "running")))
    found = next(each for each in status.conditions if each.type == "Initialized")
    assert (found.status, found.reason) == ("False", "ContainersNotInitialized")
    assert found.message == "containers with incomplete status: [i0 i1]"
    assert [each.state.waiting.reason for each in status.container_statuses if each.state.waiting] == [
        "PodInitializing"
    ]


# --- what its containers said, and its address ------------------------------------------------------------


def test_last_words_of_all_containers_have_a_bound_together() -> None:
    said = "x" * 5000 + "é"
    found = [msgspec.structs.replace(each, message=said) for each in states("c0:1 c1:0 c2:1 c3:1")]
    status = pod_status(make("Never", containers=4), facts(*found, ended=True))
    messages = [each.state.terminated.message for each in status.container_statuses if each.state.terminated]
    assert messages == ["x" * 3072] * 4
    status = pod_status(make("Never"), facts(msgspec.structs.replace(found[0], message="é" * 10_000), ended=True))
    terminated = status.container_statuses[0].state.terminated
    assert terminated is not None
    assert terminated.message == "é" * 6144, "no half characters"


def test_an_address_that_the_runtime_forgot_stays() -> None:
    known = make()
    known.status.pod_ips = [PodIP(ip="10.0.0.7")]
    forgotten = msgspec.structs.replace(SANDBOX, ready=False, ips=())
    seen = msgspec.structs.replace(facts().seen, sandboxes=[forgotten])
    status = pod_status(known, msgspec.structs.replace(facts(), seen=seen))
    assert (status.pod_ip, status.pod_ips) == ("10.0.0.7", known.status.pod_ips)
    assert pod_status(known, facts()).pod_ip == "10.0.0.2", "what it has now counts"
