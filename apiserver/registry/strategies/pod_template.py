"""Templates of pods: a PodTemplate's own, and those that other kinds hold."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.core.pod import PodTemplate, PodTemplateSpec
from apiserver.api.fields import Causes
from apiserver.registry.strategy import Strategy

from .pod_defaults import default_pod_spec
from .pod_validation.spec import validate_pod_template
from .pod_warnings import pod_warnings

__all__ = ["PodTemplateStrategy", "default_pod_template", "validate_pod_template"]


def default_pod_template(template: PodTemplateSpec, path: str) -> None:
    """Defaults of the pods' spec, without those that only a pod itself gets. Raises BadRequest naming the field."""
    default_pod_spec(template.spec, f"{path}.spec")


class PodTemplateStrategy(Strategy[PodTemplate]):
    """A template for nobody in particular."""

    has_generation = True
    returns_deleted = True

    def default(self, obj: PodTemplate) -> None:
        default_pod_template(obj.template, "template")

    def validate(self, obj: PodTemplate, causes: Causes) -> None:
        validate_pod_template(obj.template, causes, "template")

    def warnings(self, obj: PodTemplate) -> Sequence[str]:
        return pod_warnings(obj.template.spec, "template.spec")
