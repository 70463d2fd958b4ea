"""Deployment and ReplicaSet: defaults and rules of apps/v1."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.apps import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    RollingUpdateDeployment,
)
from apiserver.api.base import IntOrString
from apiserver.api.core.pod import PodTemplateSpec
from apiserver.api.fields import Causes
from apiserver.api.meta import LabelSelector
from apiserver.api.names import is_percent
from apiserver.api.selectors import Labels, from_label_selector
from apiserver.api.validation import check, validate_immutable, validate_label_selector
from apiserver.registry.strategy import Strategy

from .pod_defaults import default_pod_spec
from .pod_validation.spec import validate_pod_template
from .pod_validation.texts import not_negative
from .pod_warnings import pod_warnings

ROLLING_UPDATE, RECREATE = "RollingUpdate", "Recreate"
_QUARTER = "25%"
_MORE_THAN_THERE = "cannot be greater than status.replicas"
_MORE_THAN_READY = "cannot be greater than readyReplicas"


class DeploymentStrategyRules(Strategy[Deployment]):
    has_generation = True

    def default(self, obj: Deployment) -> None:
        spec = obj.spec
        if spec.replicas is None:
            spec.replicas = 1
        if spec.revision_history_limit is None:
            spec.revision_history_limit = 10
        if spec.progress_deadline_seconds is None:
            spec.progress_deadline_seconds = 600
        _default_roll_out(spec.strategy)
        default_pod_spec(spec.template.spec, "spec.template.spec")

    def validate(self, obj: Deployment, causes: Causes) -> None:
        spec = obj.spec
        not_negative(causes, "spec.replicas", spec.replicas or 0)
        _validate_pods(spec, causes)
        _validate_roll_out(spec.strategy, causes, "spec.strategy")
        not_negative(causes, "spec.minReadySeconds", spec.min_ready_seconds)
        not_negative(causes, "spec.revisionHistoryLimit", spec.revision_history_limit or 0)
        deadline = spec.progress_deadline_seconds
        if deadline is not None:
            not_negative(causes, "spec.progressDeadlineSeconds", deadline)
            if deadline <= spec.min_ready_seconds:
                causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")

    def validate_update(self, obj: Deployment, old: Deployment, causes: Causes) -> None:
        validate_immutable(obj.spec.selector, old.spec.selector, causes, "spec.selector")

    def validate_status(self, obj: Deployment, old: Deployment, causes: Causes) -> None:
        status = obj.status
        counts = {
            "observedGeneration": status.observed_generation,
            "replicas": status.replicas,
            "updatedReplicas": status.updated_replicas,
            "readyReplicas": status.ready_replicas,
            "availableReplicas": status.available_replicas,
            "unavailableReplicas": status.unavailable_replicas,
            "collisionCount": status.collision_count or 0,
        }
        _validate_counts(counts, causes, ("updatedReplicas", "readyReplicas", "availableReplicas"))
        if (status.collision_count or 0) < (old.status.collision_count or 0):
            causes.invalid("status.collisionCount", status.collision_count, "cannot be decremented")

    def warnings(self, obj: Deployment) -> Sequence[str]:
        return pod_warnings(obj.spec.template.spec, "spec.template.spec")


class ReplicaSetStrategy(Strategy[ReplicaSet]):
    has_generation = True

    def default(self, obj: ReplicaSet) -> None:
        if obj.spec.replicas is None:
            obj.spec.replicas = 1
        default_pod_spec(obj.spec.template.spec, "spec.template.spec")

    def validate(self, obj: ReplicaSet, causes: Causes) -> None:
        not_negative(causes, "spec.replicas", obj.spec.replicas or 0)
        not_negative(causes, "spec.minReadySeconds", obj.spec.min_ready_seconds)
        _validate_pods(obj.spec, causes)

    def validate_update(self, obj: ReplicaSet, old: ReplicaSet, causes: Causes) -> None:
        validate_immutable(obj.spec.selector, old.spec.selector, causes, "spec.selector")

    def validate_status(self, obj: ReplicaSet, old: ReplicaSet, causes: Causes) -> None:
        status = obj.status
        counts = {
            "replicas": status.replicas,
            "fullyLabeledReplicas": status.fully_labeled_replicas,
            "readyReplicas": status.ready_replicas,
            "availableReplicas": status.available_replicas,
            "observedGeneration": status.observed_generation,
        }
        _validate_counts(counts, causes, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))

    def warnings(self, obj: ReplicaSet) -> Sequence[str]:
        return pod_warnings(obj.spec.template.spec, "spec.template.spec")


DEPLOYMENT = DeploymentStrategyRules()
REPLICA_SET = ReplicaSetStrategy()


def _default_roll_out(strategy: DeploymentStrategy) -> None:
    strategy.type = strategy.type or ROLLING_UPDATE
    if strategy.type != ROLLING_UPDATE:
        return
    rolling = strategy.rolling_update = strategy.rolling_update or RollingUpdateDeployment()
    if rolling.max_unavailable is None:
        rolling.max_unavailable = _QUARTER
    if rolling.max_surge is None:
        rolling.max_surge = _QUARTER


# --- rules ----------------------------------------------------------------------------------------------


def _validate_pods(spec: DeploymentSpec | ReplicaSetSpec, causes: Causes) -> None:
    """Selector and template, and that the one finds what the other makes."""
    selector = _validate_selector(spec.selector, causes, "spec.selector")
    labels = spec.template.metadata.labels
    if selector is not None and not selector.everything and not selector.matches(labels):
        causes.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    _validate_template(spec.template, causes, "spec.template")


def _validate_selector(selector: LabelSelector | None, causes: Causes, path: str) -> Labels | None:
    if selector is None:
        causes.required(path)
        return None
    validate_label_selector(selector, causes, path)
    if not selector.match_labels and not selector.match_expressions:
        causes.invalid(path, selector, "empty selector is invalid for deployment")
    try:
        return from_label_selector(selector)
    except ValueError:
        causes.invalid(path, selector, "invalid label selector")
        return None


def _validate_template(template: PodTemplateSpec, causes: Causes, path: str) -> None:
    validate_pod_template(template, causes, path)
    if template.spec.restart_policy != "Always":
        causes.not_supported(f"{path}.spec.restartPolicy", template.spec.restart_policy, ("Always",))
    if template.spec.active_deadline_seconds is not None:
        causes.forbidden(f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")


def _validate_roll_out(strategy: DeploymentStrategy, causes: Causes, path: str) -> None:
    if strategy.type == RECREATE:
        if strategy.rolling_update is not None:
            causes.forbidden(f"{path}.rollingUpdate", f"may not be specified when strategy `type` is '{RECREATE}'")
    elif strategy.type == ROLLING_UPDATE:
        rolling = strategy.rolling_update or RollingUpdateDeployment()
        _validate_rolling_update(rolling, causes, f"{path}.rollingUpdate")
    else:
        causes.not_supported(path, strategy.type, (RECREATE, ROLLING_UPDATE))


def _validate_rolling_update(rolling: RollingUpdateDeployment, causes: Causes, path: str) -> None:
    unavailable, surge = rolling.max_unavailable or 0, rolling.max_surge or 0
    _validate_share(unavailable, causes, f"{path}.maxUnavailable")
    _validate_share(surge, causes, f"{path}.maxSurge")
    if _share(unavailable) == 0 and _share(surge) == 0:
        causes.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    if isinstance(unavailable, str) and _share(unavailable) > 100:
        causes.invalid(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%")


def _validate_share(value: IntOrString, causes: Causes, path: str) -> None:
    """A number of pods, or a percentage of them."""
    if isinstance(value, str):
        check(is_percent, value, causes, path)
    else:
        not_negative(causes, path, value)


def _share(value: IntOrString) -> int:
    """The number alone. What is no percentage counts as 0: it has been complained about."""
    if isinstance(value, int):
        return value
    return 0 if is_percent(value) else int(value[:-1][:9])


def _validate_counts(counts: dict[str, int], causes: Causes, parts: tuple[str, ...]) -> None:
    for name, count in counts.items():
        not_negative(causes, f"status.{name}", count)
    for name in parts:
        if counts[name] > counts["replicas"]:
            causes.invalid(f"status.{name}", counts[name], _MORE_THAN_THERE)
    if counts["availableReplicas"] > counts["readyReplicas"]:
        causes.invalid("status.availableReplicas", counts["availableReplicas"], _MORE_THAN_READY)
