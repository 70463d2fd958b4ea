"""StorageClass, PriorityClass and Lease: small kinds of the cluster."""

from __future__ import annotations

from apiserver.api.coordination import Lease
from apiserver.api.fields import Causes
from apiserver.api.names import is_label_value, is_qualified_name
from apiserver.api.scheduling import PriorityClass
from apiserver.api.storage import StorageClass, TopologySelectorTerm
from apiserver.api.validation import check, validate_immutable
from apiserver.registry.strategy import Strategy

from .pod_validation.texts import not_negative, one_of_or_absent

PARAMETERS_MAX = 512
PARAMETERS_BYTES_MAX = 256 * 1024
PRIORITY_MAX = 1_000_000_000  # of classes that users make
SYSTEM_PREFIX = "system-"
SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class StorageClassStrategy(Strategy[StorageClass]):
    returns_deleted = True

    def default(self, obj: StorageClass) -> None:
        obj.reclaim_policy = obj.reclaim_policy or "Delete"
        obj.volume_binding_mode = obj.volume_binding_mode or "Immediate"

    def validate(self, obj: StorageClass, causes: Causes) -> None:
        if obj.provisioner:
            check(is_qualified_name, obj.provisioner.lower(), causes, "provisioner")
        else:
            causes.required("provisioner")
        _validate_parameters(obj.parameters, causes, "parameters")
        one_of_or_absent(causes, "reclaimPolicy", obj.reclaim_policy, ("Delete", "Retain"))
        modes = ("Immediate", "WaitForFirstConsumer")
        one_of_or_absent(causes, "volumeBindingMode", obj.volume_binding_mode, modes)
        for index, term in enumerate(obj.allowed_topologies):
            _validate_topology(term, causes, f"allowedTopologies[{index}]")

    def validate_update(self, obj: StorageClass, old: StorageClass, causes: Causes) -> None:
        for name, new, was in (
            ("parameters", obj.parameters, old.parameters),
            ("provisioner", obj.provisioner, old.provisioner),
            ("reclaimPolicy", obj.reclaim_policy, old.reclaim_policy),
        ):
            if new != was:
                causes.forbidden(name, f"updates to {name} are forbidden.")
        validate_immutable(obj.volume_binding_mode, old.volume_binding_mode, causes, "volumeBindingMode")
        validate_immutable(obj.allowed_topologies, old.allowed_topologies, causes, "allowedTopologies")


def _validate_parameters(parameters: dict[str, str], causes: Causes, path: str) -> None:
    if len(parameters) > PARAMETERS_MAX:
        causes.too_many(path, len(parameters), PARAMETERS_MAX)
        return
    if "" in parameters:
        causes.invalid(path, "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > PARAMETERS_BYTES_MAX:
        causes.too_long(path, PARAMETERS_BYTES_MAX)


def _validate_topology(term: TopologySelectorTerm, causes: Causes, path: str) -> None:
    if not term.match_label_expressions:
        causes.required(path)
    seen: set[str] = set()
    for index, expression in enumerate(term.match_label_expressions):
        at = f"{path}.matchLabelExpressions[{index}]"
        check(is_qualified_name, expression.key, causes, f"{at}.key")
        if expression.key in seen:
            causes.duplicate(f"{at}.key", expression.key)
        seen.add(expression.key)
        if not expression.values:
            causes.required(f"{at}.values")
        for place, value in enumerate(expression.values):
            if value in expression.values[:place]:
                causes.duplicate(f"{at}.values[{place}]", value)
            check(is_label_value, value, causes, f"{at}.values[{place}]")


class PriorityClassStrategy(Strategy[PriorityClass]):
    has_generation = True

    def default(self, obj: PriorityClass) -> None:
        obj.preemption_policy = obj.preemption_policy or "PreemptLowerPriority"

    def validate(self, obj: PriorityClass, causes: Causes) -> None:
        if obj.metadata.name.startswith(SYSTEM_PREFIX):
            _validate_system_class(obj, causes)
        elif obj.value > PRIORITY_MAX:
            causes.forbidden("value", f"maximum allowed value of a user defined priority is {PRIORITY_MAX}")
        policies = ("Never", "PreemptLowerPriority")
        one_of_or_absent(causes, "preemptionPolicy", obj.preemption_policy, policies)

    def validate_update(self, obj: PriorityClass, old: PriorityClass, causes: Causes) -> None:
        if obj.value != old.value:
            causes.forbidden("value", "may not be changed in an update.")
        validate_immutable(obj.preemption_policy, old.preemption_policy, causes, "preemptionPolicy")


def _validate_system_class(obj: PriorityClass, causes: Causes) -> None:
    name = obj.metadata.name
    value = SYSTEM_PRIORITIES.get(name)
    if value is None:
        error = f"{name} is not a known system priority class"
    elif obj.value != value:
        error = f"value of {name} PriorityClass must be {value}"
    elif obj.global_default:
        error = f"globalDefault of {name} PriorityClass must be false"
    else:
        return
    causes.forbidden(
        "metadata.name",
        f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {error}",
    )


class LeaseStrategy(Strategy[Lease]):
    allow_create_on_update = True
    allow_unconditional_update = False

    def validate(self, obj: Lease, causes: Causes) -> None:
        spec = obj.spec
        if spec.lease_duration_seconds is not None and spec.lease_duration_seconds <= 0:
            causes.invalid("spec.leaseDurationSeconds", spec.lease_duration_seconds, "must be greater than 0")
        not_negative(causes, "spec.leaseTransitions", spec.lease_transitions or 0)
        if spec.preferred_holder and not spec.strategy:
            causes.forbidden("spec.preferredHolder", "may only be specified when `strategy` is defined")


STORAGE_CLASS = StorageClassStrategy()
PRIORITY_CLASS = PriorityClassStrategy()
LEASE = LeaseStrategy()
