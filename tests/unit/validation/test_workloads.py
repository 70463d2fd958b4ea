"""Deployments, ReplicaSets and their scale: defaults, every rule, updates and status."""

from __future__ import annotations

from typing import Any

import pytest
from rule_tables import GONE, broken, broken_by_status, broken_by_update, changed, created

from apiserver.api.autoscaling import Scale, ScaleSpec
from apiserver.api.errors import Invalid
from apiserver.registry.strategies.scale import apply_scale, scale_of

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
        },
    },
}
REPLICA_SET = changed(DEPLOYMENT, ("kind", "ReplicaSet"))
BOTH = [DEPLOYMENT, REPLICA_SET]
ROLLING = "spec.strategy.rollingUpdate"


def test_defaults_of_deployments() -> None:
    spec = created(DEPLOYMENT).spec
    assert (spec.replicas, spec.revision_history_limit, spec.progress_deadline_seconds) == (1, 10, 600)
    rolling = spec.strategy.rolling_update
    assert (spec.strategy.type, rolling.max_unavailable, rolling.max_surge) == ("RollingUpdate", "25%", "25%")
    assert spec.template.spec.restart_policy == "Always"


def test_what_is_given_is_kept() -> None:
    document = changed(
        DEPLOYMENT,
        ("spec.replicas", 0),
        ("spec.revisionHistoryLimit", 0),
        ("spec.strategy", {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
    )
    spec = created(document).spec
    assert (spec.replicas, spec.revision_history_limit) == (0, 0)
    assert (spec.strategy.rolling_update.max_surge, spec.strategy.rolling_update.max_unavailable) == (0, 1)
    assert broken(document) == []


def test_defaults_of_replica_sets() -> None:
    assert created(REPLICA_SET).spec.replicas == 1


@pytest.mark.parametrize("document", [*BOTH, changed(DEPLOYMENT, ("spec.strategy", {"type": "Recreate"}))])
def test_good_ones_break_no_rule(document: dict[str, Any]) -> None:
    assert broken(document) == []


OF_BOTH: list[tuple[str, Any, str, str]] = [
    ("spec.replicas", -1, "Invalid", "spec.replicas"),
    ("spec.minReadySeconds", -1, "Invalid", "spec.minReadySeconds"),
    ("spec.selector", GONE, "Required", "spec.selector"),
    ("spec.selector", {}, "Invalid", "spec.selector"),
    ("spec.selector.matchLabels", {"app": "other"}, "Invalid", "spec.template.metadata.labels"),
    ("spec.selector.matchLabels", {"a b": "c"}, "Invalid", "spec.selector.matchLabels"),
    (
        "spec.selector.matchExpressions",
        [{"key": "app", "operator": "In"}],
        "Required",
        "spec.selector.matchExpressions[0].values",
    ),
    (
        "spec.selector.matchExpressions",
        [{"key": "app", "operator": "Near"}],
        "Invalid",
        "spec.selector",
    ),
    ("spec.template.spec.restartPolicy", "Never", "NotSupported", "spec.template.spec.restartPolicy"),
    ("spec.template.spec.activeDeadlineSeconds", 5, "Forbidden", "spec.template.spec.activeDeadlineSeconds"),
    ("spec.template.spec.containers", [], "Required", "spec.template.spec.containers"),
]


@pytest.mark.parametrize("document", BOTH, ids=lambda each: each["kind"])
@pytest.mark.parametrize(("path", "value", "reason", "field"), OF_BOTH)
def test_rules_of_both(document: dict[str, Any], path: str, value: Any, reason: str, field: str) -> None:
    assert (reason, field) in broken(changed(document, (path, value)))


OF_DEPLOYMENTS: list[tuple[str, Any, str, str]] = [
    ("spec.revisionHistoryLimit", -1, "Invalid", "spec.revisionHistoryLimit"),
    ("spec.progressDeadlineSeconds", -1, "Invalid", "spec.progressDeadlineSeconds"),
    ("spec.minReadySeconds", 600, "Invalid", "spec.progressDeadlineSeconds"),
    ("spec.strategy", {"type": "Magic"}, "NotSupported", "spec.strategy"),
    ("spec.strategy", {"type": "Recreate", "rollingUpdate": {}}, "Forbidden", "spec.strategy.rollingUpdate"),
    (ROLLING, {"maxUnavailable": 0, "maxSurge": 0}, "Invalid", f"{ROLLING}.maxUnavailable"),
    (ROLLING, {"maxUnavailable": "0%", "maxSurge": 0}, "Invalid", f"{ROLLING}.maxUnavailable"),
    (ROLLING, {"maxUnavailable": "101%"}, "Invalid", f"{ROLLING}.maxUnavailable"),
    (ROLLING, {"maxUnavailable": -1}, "Invalid", f"{ROLLING}.maxUnavailable"),
    (ROLLING, {"maxSurge": -1}, "Invalid", f"{ROLLING}.maxSurge"),
    (ROLLING, {"maxSurge": "some"}, "Invalid", f"{ROLLING}.maxSurge"),
]


@pytest.mark.parametrize(("path", "value", "reason", "field"), OF_DEPLOYMENTS)
def test_rules_of_deployments(path: str, value: Any, reason: str, field: str) -> None:
    assert (reason, field) in broken(changed(DEPLOYMENT, (path, value)))


def test_a_deadline_below_zero_breaks_two_rules() -> None:
    found = broken(changed(DEPLOYMENT, ("spec.progressDeadlineSeconds", -1)))
    assert found == [("Invalid", "spec.progressDeadlineSeconds")] * 2


@pytest.mark.parametrize("document", BOTH, ids=lambda each: each["kind"])
def test_the_selector_does_not_change(document: dict[str, Any]) -> None:
    labels = {"app": "web", "tier": "front"}
    old = changed(document, ("spec.template.metadata.labels", labels))
    new = changed(old, ("spec.selector.matchLabels", labels))
    assert broken_by_update(new, old) == [("Invalid", "spec.selector")]
    assert broken_by_update(changed(old, ("spec.replicas", 3)), old) == []


@pytest.mark.parametrize(
    ("document", "status", "expected"),
    [
        (DEPLOYMENT, {"replicas": 2, "readyReplicas": 2, "availableReplicas": 1}, []),
        (DEPLOYMENT, {"replicas": -1}, [("Invalid", "status.replicas")]),
        (DEPLOYMENT, {"replicas": 1, "updatedReplicas": 2}, [("Invalid", "status.updatedReplicas")]),
        (
            DEPLOYMENT,
            {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2},
            [("Invalid", "status.availableReplicas")],
        ),
        (REPLICA_SET, {"replicas": 1, "fullyLabeledReplicas": 2}, [("Invalid", "status.fullyLabeledReplicas")]),
        (REPLICA_SET, {"replicas": 1, "readyReplicas": 2}, [("Invalid", "status.readyReplicas")]),
    ],
)
def test_rules_of_status(document: dict[str, Any], status: dict[str, int], expected: Any) -> None:
    found = broken_by_status(changed(document, ("status", status)), document)
    assert bool(found) == bool(expected)
    assert set(expected) <= set(found)


def test_collisions_are_not_forgotten() -> None:
    old = changed(DEPLOYMENT, ("status", {"collisionCount": 2}))
    assert broken_by_status(changed(DEPLOYMENT, ("status", {"collisionCount": 1})), old) == [
        ("Invalid", "status.collisionCount")
    ]


# --- scale ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", BOTH, ids=lambda each: each["kind"])
def test_scale(document: dict[str, Any]) -> None:
    obj = created(changed(document, ("spec.replicas", 3), ("status.replicas", 2), ("metadata.uid", "u")))
    scale = scale_of(obj)
    assert (scale.api_version, scale.kind, scale.metadata.name, scale.metadata.uid) == (
        "autoscaling/v1",
        "Scale",
        "web",
        "u",
    )
    assert (scale.spec.replicas, scale.status.replicas, scale.status.selector) == (3, 2, "app=web")
    assert apply_scale(obj, Scale(spec=ScaleSpec(replicas=0))).spec.replicas == 0


def test_a_scale_below_zero_is_refused() -> None:
    with pytest.raises(Invalid, match=r'Scale.autoscaling "web" is invalid: spec.replicas') as refused:
        apply_scale(created(DEPLOYMENT), Scale(spec=ScaleSpec(replicas=-1)))
    assert [cause.field for cause in refused.value.causes] == ["spec.replicas"]
