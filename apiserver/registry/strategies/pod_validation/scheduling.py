"""Affinity, tolerations, spreading and gates."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.core.scheduling import (
    Affinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSchedulingGate,
    Toleration,
    TopologySpreadConstraint,
)
from apiserver.api.fields import Causes
from apiserver.api.meta import LabelSelector
from apiserver.api.names import is_dns_label, is_dns_subdomain, is_label_value, is_qualified_name
from apiserver.api.validation import check, validate_label_selector

from .texts import POSITIVE, one_of_or_absent

EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
WHEN_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
INCLUSION_POLICIES = ("Honor", "Ignore")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NO_OPERATOR = "not a valid selector operator"
_SELECTOR_MISSING = "must not be specified when labelSelector is not set"


def _expression(term: NodeSelectorRequirement, causes: Causes, path: str, check_values: bool) -> None:
    match term.operator:
        case "In" | "NotIn":
            if not term.values:
                causes.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if term.values:
                causes.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        case "Gt" | "Lt":
            if len(term.values) != 1:
                causes.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        case _:
            causes.invalid(f"{path}.operator", term.operator, _NO_OPERATOR)
    check(is_qualified_name, term.key, causes, f"{path}.key")
    if check_values:
        for index, value in enumerate(term.values):
            check(is_label_value, value, causes, f"{path}.values[{index}]")


def _field(term: NodeSelectorRequirement, causes: Causes, path: str) -> None:
    if term.operator not in ("In", "NotIn"):
        causes.invalid(f"{path}.operator", term.operator, _NO_OPERATOR)
    elif len(term.values) != 1:
        causes.required(
            f"{path}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        )
    if term.key != "metadata.name":
        causes.invalid(f"{path}.key", term.key, "not a valid field selector key")
        return
    for index, value in enumerate(term.values):
        check(is_dns_subdomain, value, causes, f"{path}.values[{index}]")


def _term(term: NodeSelectorTerm, causes: Causes, path: str, *, check_values: bool) -> None:
    for index, each in enumerate(term.match_expressions):
        _expression(each, causes, f"{path}.matchExpressions[{index}]", check_values)
    for index, each in enumerate(term.match_fields):
        _field(each, causes, f"{path}.matchFields[{index}]")


def validate_node_selector(selector: NodeSelector, causes: Causes, path: str) -> None:
    """At least one term; a term may be empty."""
    if not selector.node_selector_terms:
        causes.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(selector.node_selector_terms):
        _term(term, causes, f"{path}.nodeSelectorTerms[{index}]", check_values=True)


def _weight(weight: int, causes: Causes, path: str) -> None:
    if not 1 <= weight <= 100:
        causes.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def _label_keys(keys: Sequence[str], selector: LabelSelector | None, causes: Causes, path: str) -> None:
    if keys and selector is None:
        causes.forbidden(path, _SELECTOR_MISSING)
        return
    for index, key in enumerate(keys):
        check(is_qualified_name, key, causes, f"{path}[{index}]")


def _pod_term(term: PodAffinityTerm, causes: Causes, path: str) -> None:
    validate_label_selector(term.label_selector, causes, f"{path}.labelSelector")
    validate_label_selector(term.namespace_selector, causes, f"{path}.namespaceSelector")
    for name in term.namespaces:
        check(is_dns_label, name, causes, f"{path}.namespace")
    _label_keys(term.match_label_keys, term.label_selector, causes, f"{path}.matchLabelKeys")
    _label_keys(term.mismatch_label_keys, term.label_selector, causes, f"{path}.mismatchLabelKeys")
    for index, key in enumerate(term.match_label_keys):
        if key in term.mismatch_label_keys:
            causes.invalid(
                f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys"
            )
    if not term.topology_key:
        causes.required(f"{path}.topologyKey", "can not be empty")
    check(is_qualified_name, term.topology_key, causes, f"{path}.topologyKey")


def _pod_affinity(affinity: PodAffinity | PodAntiAffinity, causes: Causes, path: str) -> None:
    for index, term in enumerate(affinity.required_during_scheduling_ignored_during_execution):
        _pod_term(term, causes, f"{path}.{_REQUIRED}[{index}]")
    for index, wish in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        _weight(wish.weight, causes, f"{path}.{_PREFERRED}[{index}]")
        _pod_term(wish.pod_affinity_term, causes, f"{path}.{_PREFERRED}[{index}].podAffinityTerm")


def validate_affinity(affinity: Affinity, causes: Causes, path: str) -> None:
    if nodes := affinity.node_affinity:
        here = f"{path}.nodeAffinity"
        if selector := nodes.required_during_scheduling_ignored_during_execution:
            validate_node_selector(selector, causes, f"{here}.{_REQUIRED}")
        for index, wish in enumerate(nodes.preferred_during_scheduling_ignored_during_execution):
            _weight(wish.weight, causes, f"{here}.{_PREFERRED}[{index}]")
            _term(wish.preference, causes, f"{here}.{_PREFERRED}[{index}].preference", check_values=False)
    if affinity.pod_affinity:
        _pod_affinity(affinity.pod_affinity, causes, f"{path}.podAffinity")
    if affinity.pod_anti_affinity:
        _pod_affinity(affinity.pod_anti_affinity, causes, f"{path}.podAntiAffinity")


def _toleration(toleration: Toleration, causes: Causes, path: str) -> None:
    if toleration.key:
        check(is_qualified_name, toleration.key, causes, f"{path}.key")
    elif toleration.operator != "Exists":
        causes.invalid(
            f"{path}.operator",
            toleration.operator,
            'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        )
    if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
        rule = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.invalid(f"{path}.effect", toleration.effect, rule)
    match toleration.operator:
        case "" | "Equal":
            if problems := is_label_value(toleration.value):
                causes.invalid(f"{path}.operator", toleration.value, ";".join(problems))
        case "Exists":
            if toleration.value:
                causes.invalid(f"{path}.operator", toleration.value, "value must be empty when `operator` is 'Exists'")
        case _:
            causes.not_supported(f"{path}.operator", toleration.operator, ("Equal", "Exists"))
    one_of_or_absent(causes, f"{path}.effect", toleration.effect or None, EFFECTS)


def validate_tolerations(tolerations: Sequence[Toleration], causes: Causes, path: str) -> None:
    for index, each in enumerate(tolerations):
        _toleration(each, causes, f"{path}[{index}]")


def _spread_keys(constraint: TopologySpreadConstraint, causes: Causes, path: str) -> None:
    selector = constraint.label_selector
    if constraint.match_label_keys and selector is None:
        causes.forbidden(path, _SELECTOR_MISSING)
    known = {*selector.match_labels, *(each.key for each in selector.match_expressions)} if selector else set()
    for index, key in enumerate(constraint.match_label_keys):
        check(is_qualified_name, key, causes, f"{path}[{index}]")
        if key in known:
            causes.invalid(f"{path}[{index}]", key, "exists in both matchLabelKeys and labelSelector")


def _spread(constraint: TopologySpreadConstraint, causes: Causes, path: str) -> None:
    if constraint.max_skew <= 0:
        causes.invalid(f"{path}.maxSkew", constraint.max_skew, POSITIVE)
    if not constraint.topology_key:
        causes.required(f"{path}.topologyKey", "can not be empty")
    if constraint.when_unsatisfiable not in WHEN_UNSATISFIABLE:
        causes.not_supported(f"{path}.whenUnsatisfiable", constraint.when_unsatisfiable, WHEN_UNSATISFIABLE)
    if constraint.min_domains is not None:
        if constraint.min_domains <= 0:
            causes.invalid(f"{path}.minDomains", constraint.min_domains, POSITIVE)
        if constraint.when_unsatisfiable != "DoNotSchedule":
            rule = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {constraint.when_unsatisfiable}"
            causes.invalid(f"{path}.minDomains", constraint.min_domains, rule)
    one_of_or_absent(causes, f"{path}.nodeAffinityPolicy", constraint.node_affinity_policy, INCLUSION_POLICIES)
    one_of_or_absent(causes, f"{path}.nodeTaintsPolicy", constraint.node_taints_policy, INCLUSION_POLICIES)
    _spread_keys(constraint, causes, f"{path}.matchLabelKeys")
    validate_label_selector(constraint.label_selector, causes, f"{path}.labelSelector")


def validate_spread(constraints: Sequence[TopologySpreadConstraint], causes: Causes, path: str) -> None:
    """Each pair of topologyKey and whenUnsatisfiable once."""
    pairs = [(each.topology_key, each.when_unsatisfiable) for each in constraints]
    for index, each in enumerate(constraints):
        _spread(each, causes, f"{path}[{index}]")
        if pairs[index] in pairs[index + 1 :]:
            key, action = pairs[index]
            causes.duplicate(f"{path}[{index}].{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")


def validate_gates(gates: Sequence[PodSchedulingGate], causes: Causes, path: str) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        check(is_qualified_name, gate.name, causes, f"{path}[{index}]")
        if gate.name in seen:
            causes.duplicate(f"{path}[{index}]", gate.name)
        seen.add(gate.name)
