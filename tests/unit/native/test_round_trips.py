"""The laws of v1alpha1: nothing that was written is lost on the way back, nothing it cannot show is touched."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_objects import objects

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.core.containers import Container, EnvVar, EnvVarSource
from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.core.probes import Probe
from apiserver.api.core.service import Service
from apiserver.api.v1alpha1 import nodes, pods, services, volumes, workloads
from apiserver.api.v1alpha1.conversion import STEPS

KINDS = sorted(STEPS)
TYPES = {
    "Pod": (pods.Pod, Pod),
    "Node": (nodes.Node, Node),
    "Service": (services.Service, Service),
    "PersistentVolume": (volumes.PersistentVolume, PersistentVolume),
    "PersistentVolumeClaim": (volumes.PersistentVolumeClaim, PersistentVolumeClaim),
    "Deployment": (workloads.Deployment, Deployment),
    "ReplicaSet": (workloads.ReplicaSet, ReplicaSet),
}
API_VERSIONS = dict.fromkeys(KINDS, "v1") | {"Deployment": "apps/v1", "ReplicaSet": "apps/v1"}
NAMES = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)

# A variable has a value or a source, as validation demands.
VARIABLES = st.one_of(
    objects(EnvVar, value_from=st.none()), objects(EnvVar, value=st.just(""), value_from=objects(EnvVarSource))
)
CONTAINERS = objects(
    Container,
    env=st.lists(VARIABLES, max_size=3),
    always=("resources", "ports"),
    liveness_probe=st.none() | objects(Probe),
    readiness_probe=st.none() | objects(Probe),
)
STORED_PODS = objects(
    Pod,
    api_version=st.just("v1"),
    spec=objects(
        PodSpec,
        always=("init_containers", "volumes", "tolerations"),
        containers=st.lists(CONTAINERS, max_size=3),
    ),
)


def shown_objects(kind: str) -> st.SearchStrategy[Any]:
    return objects(TYPES[kind][0], always=("spec", "status"), api_version=st.just("v1alpha1"))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_written_comes_back(kind: str, data: st.DataObject) -> None:
    shown = data.draw(shown_objects(kind))
    assert STEPS[kind].down(STEPS[kind].up(shown, None)) == shown


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_comes_back_survives_the_wire(kind: str, data: st.DataObject) -> None:
    shown = data.draw(shown_objects(kind))
    stored = msgspec.json.decode(msgspec.json.encode(STEPS[kind].up(shown, None)), type=TYPES[kind][1])
    assert msgspec.json.encode(STEPS[kind].down(stored)) == msgspec.json.encode(shown)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_writing_what_was_shown_changes_nothing(kind: str, data: st.DataObject) -> None:
    random = objects(TYPES[kind][1], always=("spec", "status"), api_version=st.just(API_VERSIONS[kind]))
    stored = data.draw(STORED_PODS if kind == "Pod" else random)
    assert STEPS[kind].up(STEPS[kind].down(stored), stored) == stored


@given(shown=shown_objects("Pod"), old=STORED_PODS)
@settings(max_examples=100, deadline=None)
def test_an_update_takes_over_all_that_was_written(shown: pods.Pod, old: Pod) -> None:
    written = STEPS["Pod"].down(STEPS["Pod"].up(shown, old))
    assert written.spec.node_name == (shown.spec.node_name or old.spec.node_name)
    assert written.spec.restart_policy == (shown.spec.restart_policy or old.spec.restart_policy)
    written.spec.node_name, written.spec.restart_policy = shown.spec.node_name, shown.spec.restart_policy
    assert written == shown


def hidden(container: Container) -> Container:
    """A container with nothing but what v1alpha1 cannot show."""
    bare = copy.deepcopy(container)
    bare.image, bare.command, bare.args, bare.working_dir, bare.env, bare.ports = "", [], [], "", [], []
    bare.resources.requests = {
        key: each for key, each in bare.resources.requests.items() if key not in ("cpu", "memory")
    }
    return bare


@given(old=STORED_PODS, data=st.data())
@settings(max_examples=100, deadline=None)
def test_an_update_keeps_what_it_cannot_show(old: Pod, data: st.DataObject) -> None:
    """Containers are reordered, added, removed and renamed; each name keeps its probes, limits and mounts."""
    for name, each in zip("abc", old.spec.containers, strict=False):
        each.name = name
    before = {each.name: hidden(each) for each in old.spec.containers}
    names = data.draw(NAMES)
    containers = [data.draw(objects(pods.Container, name=st.just(name), always=("resources",))) for name in names]
    shown = STEPS["Pod"].down(old)
    shown.spec.containers = containers
    new = STEPS["Pod"].up(shown, old)

    assert [each.name for each in new.spec.containers] == names
    for each in new.spec.containers:
        assert hidden(each) == before.get(each.name, hidden(Container(name=each.name)))
    new.spec.containers = old.spec.containers
    assert new == old


@given(shown=shown_objects("Deployment"))
@settings(max_examples=30, deadline=None)
def test_a_template_is_converted_like_a_pod(shown: Any) -> None:
    stored = STEPS["Deployment"].up(shown, None)
    alone = STEPS["Pod"].up(pods.Pod(spec=shown.spec.template.spec), None)
    assert stored.spec.template.spec == alone.spec
