"""Whatever a pod or volume holds, the rules answer with causes or one BadRequest, and never stumble."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from random_objects import objects

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod, PodTemplate
from apiserver.api.errors import BadRequest
from apiserver.api.fields import Causes
from apiserver.api.meta import TopObject
from apiserver.registry.strategies.persistent_volume import PersistentVolumeClaimStrategy, PersistentVolumeStrategy
from apiserver.registry.strategies.pod import PodStrategy
from apiserver.registry.strategies.pod_template import PodTemplateStrategy
from apiserver.registry.strategy import Strategy

CALM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def through_all(new: Any, old: Any, strategy: Strategy[Any]) -> None:
    causes = Causes()
    try:
        strategy.default(new)
        strategy.default(old)
    except BadRequest:
        return
    strategy.validate(new, causes)
    strategy.validate_update(new, old, causes)
    strategy.prepare_status(new, old)
    strategy.validate_status(new, old, causes)
    strategy.initial_status(new)
    strategy.grace_period_s(new, None)
    strategy.warnings(new)
    if causes:
        assert str(causes.error(kind="Any", group="", name="x"))


def same_twice(obj: TopObject, strategy: Strategy[Any]) -> None:
    """No change is allowed to a change that is none."""
    try:
        strategy.default(obj)
    except BadRequest:
        return
    causes = Causes()
    strategy.validate_update(obj, obj, causes)
    assert causes.found == []


@CALM
@given(objects(Pod, always=("spec",)), objects(Pod, always=("spec",)))
def test_any_pod(new: Pod, old: Pod) -> None:
    through_all(new, old, PodStrategy())
    same_twice(old, PodStrategy())


@CALM
@given(objects(PodTemplate, always=("template",)), objects(PodTemplate))
def test_any_template(new: PodTemplate, old: PodTemplate) -> None:
    through_all(new, old, PodTemplateStrategy())


@CALM
@given(objects(PersistentVolume, always=("spec",)), objects(PersistentVolume, always=("spec",)))
def test_any_volume(new: PersistentVolume, old: PersistentVolume) -> None:
    through_all(new, old, PersistentVolumeStrategy())
    same_twice(old, PersistentVolumeStrategy())


@CALM
@given(objects(PersistentVolumeClaim, always=("spec",)), objects(PersistentVolumeClaim, always=("spec",)))
def test_any_claim(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> None:
    through_all(new, old, PersistentVolumeClaimStrategy())
    same_twice(old, PersistentVolumeClaimStrategy())
