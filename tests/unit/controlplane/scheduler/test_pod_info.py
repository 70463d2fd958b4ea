"""What is read of a pod once, and which pods share it."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from controllers_world_objects import pod
from scheduler_views import HOST, ZONE, node_affinity, pod_affinity, selector, spread, term

from apiserver.api.core.pod import Pod
from controlplane.scheduler.matching import NodeNeeds
from controlplane.scheduler.pod_info import HostPort, Templates


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "app", "image": "app:1", **fields}


def owned(uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid, "controller": True}
    return {"ownerReferences": [owner]}


BASE: dict[str, Any] = {"labels": {"app": "web"}, "containers": [container()]}


@pytest.mark.parametrize(
    "other",
    [
        {"namespace": "other"},
        {"labels": {"app": "web", "more": "x"}},
        {"metadata": owned("1")},
        {"containers": [container(image="app:2")]},
        {"containers": [container(resources={"requests": {"cpu": "1"}})]},
        {"containers": [container(ports=[{"hostPort": 80, "containerPort": 80}])]},
        {"containers": [container(), container(name="two")]},
        {"initContainers": [container(name="init")]},
        {"initContainers": [container(name="init", restartPolicy="Always")]},
        {"overhead": {"cpu": "10m"}},
        {"nodeSelector": {"disk": "ssd"}},
        {"affinity": node_affinity({"matchExpressions": [{"key": "disk", "operator": "Exists"}]})},
        {"affinity": pod_affinity(term(HOST, selector(app="web")))},
        {"tolerations": [{"operator": "Exists"}]},
        {"topologySpreadConstraints": [spread(ZONE, selector(app="web"))]},
        {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]},
        {"volumes": [{"name": "data", "ephemeral": {"volumeClaimTemplate": {}}}]},
    ],
)
def test_pods_that_differ_in_what_matters_share_nothing(other: dict[str, Any]) -> None:
    templates = Templates()
    one = templates.pod_info(pod("one", **BASE))
    assert templates.pod_info(pod("two", **BASE)).template is one.template
    changed = templates.pod_info(pod("two", **{**BASE, **other}))
    assert changed.template is not one.template
    assert changed.signature != one.signature


def test_pods_that_differ_in_what_does_not_matter_share_everything() -> None:
    templates = Templates()
    one = templates.pod_info(pod("one", **BASE))
    two = templates.pod_info(
        pod(
            "two",
            **{
                **BASE,
                "metadata": {"annotations": {"a": "b"}, "uid": "u2", "resourceVersion": "7"},
                "containers": [container(env=[{"name": "A", "value": "B"}])],
                "node_name": "n1",
                "status": {"phase": "Running"},
                "priority": 7,
            },
        )
    )
    assert two.template is one.template
    assert (two.key, two.uid, two.node_name, two.priority, two.placed) == ("default/two", "u2", "n1", 7, True)


def test_a_template_lives_as_long_as_somebody_has_it() -> None:
    templates = Templates()
    info = templates.pod_info(pod("one", **BASE))
    assert len(templates) == 1
    number = info.signature
    del info
    gc.collect()
    assert len(templates) == 0
    assert templates.pod_info(pod("one", **BASE)).signature != number


def info_of(**of: Any) -> Any:
    return Templates().pod_info(pod("one", **of))


def test_where_a_pod_is_and_whether_it_takes_room() -> None:
    assert not info_of().placed
    assert info_of(node_name="n1").placed
    assert not info_of(node_name="n1", status={"phase": "Succeeded"}).placed
    assert not info_of(node_name="n1", status={"phase": "Failed"}).placed
    assert info_of(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}).terminating
    assumed = info_of().on("n1")
    assert (assumed.node_name, assumed.assumed, assumed.placed) == ("n1", True, True)


def test_requests_ports_images_and_claims_are_read() -> None:
    made: Pod = pod(
        "one",
        initContainers=[container(image="init", resources={"requests": {"memory": "1Gi"}})],
        containers=[
            container(
                image="registry:5000/app",
                resources={"requests": {"cpu": "100m"}},
                ports=[{"hostPort": 80, "containerPort": 8080}, {"containerPort": 9}],
            )
        ],
        volumes=[
            {"name": "b", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "a", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "c", "emptyDir": {}},
        ],
    )
    template = Templates().pod_info(made).template
    assert template.requests == {"cpu": 100, "memory": 1 << 30, "pods": 1}
    assert (template.scored_cpu, template.scored_memory) == (100, 1 << 30)
    assert template.host_ports == (HostPort("0.0.0.0", "TCP", 80),)
    assert template.images == ("init:latest", "registry:5000/app:latest")
    assert template.claims == ("data", "one-a")
    assert template.needs == NodeNeeds()
    assert not template.best_effort


def test_a_selector_that_is_none_selects_nothing() -> None:
    broken = {"matchExpressions": [{"key": "app", "operator": "Near", "values": ["x"]}]}
    (away,) = info_of(labels={"app": "x"}, affinity=pod_affinity(term(HOST, broken), anti=True)).template.away
    assert not away.selector.matches("default", {"app": "x"}, {})
