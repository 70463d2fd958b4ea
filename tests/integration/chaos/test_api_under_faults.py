"""Three API servers under load while leaders are killed, stopped and cut off: what they promised holds.

One load runs per way of hurting them; each test holds its history to one promise. KMINI_CHAOS_ROUNDS asks for more
rounds of faults than the few of a normal run; a history must stay within the five minutes that are not compacted.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from api_claims import ELECTION, FENCED, NODES, TOKEN, Claims
from api_history import (
    MAPS,
    PODS,
    SERVICES,
    Replay,
    date_deletions,
    events_of_server,
    events_of_store,
    expected_changes,
    lost_or_twice,
    missed_or_invented,
    stale_or_wrong,
    truth_of,
)
from api_load import COUNT, COUNTER, NAMESPACE, ApiLoad
from kmini.client import EtcdClient
from kmini.dev.control_plane import ControlPlane
from kmini_process import eventually
from server_faults import FAULTS, lasting, progress, voters

from apiserver.api.core.pod import Pod
from apiserver.api.pod_requests import amount
from apiserver.storage import REGISTRY
from raftstore import Event, EventType
from raftstore.sim.history import Kind, Outcome
from raftstore.sim.truth import Truth

ROUNDS = int(os.environ.get("KMINI_CHAOS_ROUNDS", "3"))
CUT_S = 3.5  # longer than a request waits for a leader
LEASE = REGISTRY + f"coordination.k8s.io/leases/{NAMESPACE}/{ELECTION}".encode()
SECRETS = f"{REGISTRY.decode()}secrets/{NAMESPACE}/"
PROCESSES, LINKS = "processes", "links"


class Aftermath(NamedTuple):
    """What the load was told, and what the store says happened."""

    load: ApiLoad
    claims: Claims
    events: list[Event]
    truth: Truth


@pytest.fixture(scope="module", params=[PROCESSES, LINKS])
def after(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apiserver.client.watching.IDLE_S", 2.0)  # else an informer of a stopped server waits for long
        hurt = hurt_processes if request.param == PROCESSES else hurt_links
        yield hurt(tmp_path_factory.mktemp("chaos"))


def aftermath(load: ApiLoad, claims: Claims, events: list[Event]) -> Aftermath:
    truth = truth_of(events)
    date_deletions(load.history, truth)
    return Aftermath(load, claims, events, truth)


def with_claims(load: ApiLoad) -> Claims:
    claims = Claims()
    load.also(claims.jobs)
    return claims


def enough(load: ApiLoad, claims: Claims) -> bool:
    """For the tests to show anything, however slow the machine is; looked at while the load goes on in its thread."""
    answers = load.answers
    return (
        answers["acknowledged"] > 60 * ROUNDS
        and answers["read"] > 300
        and min(answers["bound"], answers["did not fit"], load.counted) > 10
        and min(answers["Invalid"], answers["Fenced"]) > 5
        and sum(outcome is Outcome.OK for outcome in claims.services.copy().values()) > 10
        and len({name.split("-")[1] for name, outcome in claims.fenced.copy().items() if outcome is Outcome.OK}) > 5
    )


def hurt_processes(folder: Path) -> Aftermath:
    """kill -9 of leaders, followers and all at once, SIGSTOP of a leader for longer than an election."""
    with voters(folder) as servers:
        load = ApiLoad(servers[0].data_dir / "kubeconfig", [f"https://127.0.0.1:{each.api_port}" for each in servers])
        claims = with_claims(load)
        with load.running():
            for fault in itertools.islice(itertools.cycle(FAULTS), ROUNDS):
                progress(lambda: load.progress, 60, "progress before the fault")
                fault(servers, lambda: load.progress)
            progress(lambda: load.progress, 60, "progress at the end")
            eventually(lambda: enough(load, claims), 120, "enough of everything")
        with EtcdClient(servers[0].etcd_address, servers[0].pki) as etcd:
            events = events_of_server(etcd)
    return aftermath(load, claims, events)


def hurt_links(_folder: Path) -> Aftermath:
    """A leader that is cut off, one that is heard by nobody and hears all, one whose loop stands still."""
    with ControlPlane(replicas=3) as plane:
        load = ApiLoad(plane.kubeconfig, list(plane.servers.values()))
        claims = with_claims(load)
        with load.running():
            for fault in itertools.islice(itertools.cycle((isolate_leader, mute_leader, pause_leader)), ROUNDS):
                progress(lambda: load.progress, 60, "progress before the fault")
                fault(plane)
                lasting(CUT_S)
                progress(lambda: load.progress, 60, "progress without it")
                plane.heal()
            progress(lambda: load.progress, 60, "progress at the end")
            eventually(lambda: enough(load, claims), 120, "enough of everything")
        replica = plane._replicas["a"]
        assert replica.store is not None
        events = replica.thread.call(events_of_store(replica.store))
    return aftermath(load, claims, events)


def isolate_leader(plane: ControlPlane) -> None:
    plane.partition()


def mute_leader(plane: ControlPlane) -> None:
    leader = plane.leader or plane.names[0]
    for name in plane.names:
        if name != leader:
            plane.cut(leader, name)


def pause_leader(plane: ControlPlane) -> None:
    plane.pause(plane.leader or plane.names[0])


# --- single objects ---------------------------------------------------------------------------------------


def test_acknowledged_writes_are_there_refused_ones_are_not_and_none_happened_twice(after: Aftermath) -> None:
    assert after.load.errors == []
    assert list(lost_or_twice(after.load, after.truth)) == []
    assert after.load.answers["acknowledged"] > 60 * ROUNDS


def test_a_counter_is_raised_once_for_each_acknowledged_increment(after: Aftermath) -> None:
    """... and at most once for each one whose fate nobody knows."""
    key = MAPS + COUNTER.encode()
    puts = [event for event in after.events if event.kv.key == key]
    written = {json.loads(event.kv.value)["data"]["token"] for event in puts}
    unknown = [
        operation
        for operation in after.load.history
        if operation.key == COUNTER.encode() and operation.outcome is Outcome.UNKNOWN and operation.expected_revision
    ]
    late = sum(value.decode() in written for each in unknown for value in each.values.values())
    counted = int(json.loads(puts[-1].kv.value)["data"][COUNT])
    assert counted == after.load.counted + late
    assert after.load.counted > 10


def test_no_read_is_older_than_what_was_acknowledged_before_it_began(after: Aftermath) -> None:
    assert list(stale_or_wrong(after.load, after.truth)) == []
    kinds = [each.kind for each in after.load.history if each.outcome is Outcome.OK]
    assert kinds.count(Kind.GET) > 100
    assert kinds.count(Kind.RANGE) > 10


# --- watches ----------------------------------------------------------------------------------------------


def test_watches_tell_the_history_once_and_in_order_over_all_replicas(after: Aftermath) -> None:
    assert list(missed_or_invented(after.load, after.truth)) == []
    happened = after.truth.between(b"\0", b"\0", 1, after.load.end_revision)
    for log in after.load.history.watches:
        told = [event for segment in log.segments for item in segment.received for event in getattr(item, "events", ())]
        assert [(each.revision, each.key, each.value) for each in told] == [
            (each.revision, each.key, each.value) for each in happened
        ]
        assert len({segment.replica for segment in log.segments if segment.received}) > 1


def test_an_informer_follows_from_replica_to_replica_without_listing_again(after: Aftermath) -> None:
    assert after.load.lists == 1
    assert after.load.changes == expected_changes(after.truth, after.load.end_revision)
    at_end = after.truth.range_at(b"\0", b"\0", after.load.end_revision)
    assert after.load.cached == {event.key.decode(): event.revision for event in at_end}


# --- what must not be given twice ---------------------------------------------------------------------------


def test_no_node_is_over_committed_and_its_record_is_the_sum_of_its_pods(after: Aftermath) -> None:
    """At every revision, not only at the end."""
    for revision, state in Replay().states(after.events):
        bound = state.bound()
        assert bound == state.records(), revision
        for node, used in bound.items():
            room = {name: amount(name, quantity) for name, quantity in NODES[node].items()}
            assert all(number <= room[name] for name, number in used.items()), (revision, node, used)
    assert after.load.answers["bound"] > 10
    assert after.load.answers["did not fit"] > 10


def test_a_pod_is_bound_once_by_a_binding_that_was_not_refused(after: Aftermath) -> None:
    bound: dict[str, tuple[str, str, str]] = {}  # UID → pod, node, token
    for event in after.events:
        if event.kv.key.startswith(PODS) and event.type is EventType.PUT:
            pod = msgspec.json.decode(event.kv.value, type=Pod)
            if pod.spec.node_name:
                seen = (pod.metadata.name, pod.spec.node_name, pod.metadata.annotations[TOKEN])
                assert bound.setdefault(pod.metadata.uid, seen) == seen
    happened = {token: (pod, node) for pod, node, token in bound.values()}
    for token, (name, node, outcome) in after.claims.bindings.items():
        if outcome is Outcome.OK:
            assert happened.get(token) == (name, node)
        elif outcome is Outcome.FAILED:
            assert token not in happened


def test_addresses_and_ports_belong_to_one_service_each_and_none_leaks(after: Aftermath) -> None:
    for revision, state in Replay().states(after.events):
        assert state.held() == state.taken(), revision
    prefix = SERVICES + f"{NAMESPACE}/".encode()
    made = {event.kv.key.removeprefix(prefix).decode() for event in after.events if event.kv.key.startswith(prefix)}
    outcomes = after.claims.services
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.OK} <= made
    assert not {name for name, outcome in outcomes.items() if outcome is Outcome.FAILED} & made
    assert len(made) > 10
    assert after.load.answers["Invalid"] > 0


# --- an election ------------------------------------------------------------------------------------------


def test_what_a_leader_writes_with_its_fence_falls_into_its_own_term_of_office(after: Aftermath) -> None:
    term, written = -1, {}
    for event in after.events:
        key = event.kv.key.decode(errors="replace")
        if event.kv.key == LEASE:
            now = json.loads(event.kv.value)["spec"]["leaseTransitions"]
            assert now >= term
            term = now
        elif key.startswith(SECRETS):
            name = key.removeprefix(SECRETS)
            assert name.startswith(f"{FENCED}{term}-"), (name, term, event.kv.mod_revision)
            written[name] = term
    outcomes = after.claims.fenced
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.OK} <= written.keys()
    assert not {name for name, outcome in outcomes.items() if outcome is Outcome.FAILED} & written.keys()
    assert len(set(written.values())) > 5
    assert after.load.answers["Fenced"] > 5
