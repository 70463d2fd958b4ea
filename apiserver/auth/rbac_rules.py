"""Single rules of RBAC: compiled for fast matching, compared for escalation, shown in messages.

The semantics are Kubernetes' ("Using RBAC Authorization"): rules only add; `*` is every verb, group or resource;
`*/scale` is that subresource of everything; a rule for `pods` says nothing of `pods/log`; a rule with resourceNames
needs the name in the request, so it never allows create, nor list, watch and deletecollection without a
`metadata.name` selector; a path rule that ends in `*` covers what begins with the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from apiserver.api.rbac import PolicyRule

ALL = "*"
COMPARISONS_MAX = 100_000  # of one permission with one rule, in the same check
PERMISSIONS_MAX = 5000  # single permissions that one check of escalation compares: it must not hold up the server

#: What cluster-admin may do.
EVERYTHING = (
    PolicyRule(verbs=[ALL], api_groups=[ALL], resources=[ALL]),
    PolicyRule(verbs=[ALL], non_resource_urls=[ALL]),
)


class CompiledRule(NamedTuple):
    """None stands for "all". `names` empty: objects of any name."""

    verbs: frozenset[str] | None
    groups: frozenset[str] | None
    resources: frozenset[str] | None
    names: frozenset[str]
    paths: frozenset[str]
    path_prefixes: tuple[str, ...]

    def allows_resource(self, verb: str, group: str, resource: str, wildcard_subresource: str) -> bool:
        """Names aside. `resource` is `pods` or `pods/log`, `wildcard_subresource` then `*/log` (else empty)."""
        return (
            (self.verbs is None or verb in self.verbs)
            and (
                self.resources is None
                or resource in self.resources
                or (wildcard_subresource != "" and wildcard_subresource in self.resources)
            )
            and (self.groups is None or group in self.groups)
        )

    def allows_path(self, verb: str, path: str) -> bool:
        return (self.verbs is None or verb in self.verbs) and (
            path in self.paths or (self.path_prefixes != () and path.startswith(self.path_prefixes))
        )


def compile_rules(rules: Iterable[PolicyRule]) -> tuple[CompiledRule, ...]:
    return tuple(_compile(rule) for rule in rules)


def _compile(rule: PolicyRule) -> CompiledRule:
    return CompiledRule(
        verbs=_set_or_all(rule.verbs),
        groups=_set_or_all(rule.api_groups),
        resources=_set_or_all(rule.resources),
        names=frozenset(rule.resource_names),
        paths=frozenset(rule.non_resource_urls),
        path_prefixes=tuple(url.rstrip(ALL) for url in rule.non_resource_urls if url.endswith(ALL)),
    )


def _set_or_all(values: Sequence[str]) -> frozenset[str] | None:
    return None if ALL in values else frozenset(values)


# --- escalation: does one set of rules cover another? ---------------------------------------------------------


def uncovered(owner_rules: Sequence[PolicyRule], wanted_rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    """What `wanted_rules` allow and `owner_rules` do not, as rules of one permission each; [] when all is covered.

    Raises ValueError when the wanted rules hold more than PERMISSIONS_MAX permissions that must be compared, or when
    there is too much to compare them with.
    """
    held = set(map(rule_bytes, owner_rules))
    wanted_rules = [rule for rule in wanted_rules if rule_bytes(rule) not in held]
    if not wanted_rules:
        return []
    if sum(_permission_count(rule) for rule in wanted_rules) > PERMISSIONS_MAX:
        raise ValueError(f"the rules hold more than {PERMISSIONS_MAX} single permissions")
    by_verb: dict[str, list[CompiledRule]] = {}
    for owner in compile_rules(owner_rules):
        for verb in (ALL,) if owner.verbs is None else owner.verbs:
            by_verb.setdefault(verb, []).append(owner)
    missing, compared = [], 0
    for permission in (each for wanted in wanted_rules for each in _permissions(wanted)):
        for owner in chain.from_iterable(by_verb.get(verb, ()) for verb in {ALL, permission.verbs[0]}):
            compared += 1
            if compared > COMPARISONS_MAX:
                raise ValueError(f"the rules would have to be compared more than {COMPARISONS_MAX} times")
            if _covers(owner, permission):
                break
        else:
            missing.append(permission)
    return missing


rule_bytes = msgspec.json.Encoder().encode  # equal for equal rules, and hashable


def _permission_count(rule: PolicyRule) -> int:
    names = max(1, len(rule.resource_names))
    return len(rule.verbs) * (len(rule.api_groups) * len(rule.resources) * names + len(rule.non_resource_urls))


def _permissions(rule: PolicyRule) -> Iterator[PolicyRule]:
    """One verb on one resource (of one name) or path each: a single owner rule covers it, or none does."""
    for group in rule.api_groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                for names in [[name] for name in rule.resource_names] or [[]]:
                    yield PolicyRule(verbs=[verb], api_groups=[group], resources=[resource], resource_names=names)
    for url in rule.non_resource_urls:
        for verb in rule.verbs:
            yield PolicyRule(verbs=[verb], non_resource_urls=[url])


def _covers(owner: CompiledRule, permission: PolicyRule) -> bool:
    """A wildcard in `permission` is covered by a wildcard only."""
    verb = permission.verbs[0]
    if permission.non_resource_urls:
        return owner.allows_path(verb, permission.non_resource_urls[0])
    resource = permission.resources[0]
    wildcard = f"*/{resource.split('/', 1)[1]}" if "/" in resource else ""
    if not owner.allows_resource(verb, permission.api_groups[0], resource, wildcard):
        return False
    return not owner.names or (bool(permission.resource_names) and permission.resource_names[0] in owner.names)


# --- as Kubernetes shows rules in messages --------------------------------------------------------------------


def describe_uncovered(rules: Sequence[PolicyRule]) -> str:
    """One line per rule, sorted; permissions that differ in their verb alone are one rule."""
    return "\n".join(sorted({describe(rule) for rule in _compacted(rules)}))


def _compacted(rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    simple: dict[tuple[str, str], PolicyRule] = {}
    others = []
    for rule in rules:
        if rule.resource_names or rule.non_resource_urls:
            others.append(rule)
            continue
        key = (rule.api_groups[0], rule.resources[0])
        held = simple.get(key)
        verbs = [*(held.verbs if held else ()), *rule.verbs]
        simple[key] = PolicyRule(verbs=verbs, api_groups=rule.api_groups, resources=rule.resources)
    return [*simple.values(), *others]


def describe(rule: PolicyRule) -> str:
    """`{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`."""
    parts = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.non_resource_urls),
        ("ResourceNames", rule.resource_names),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{name}:{quoted_list(values)}" for name, values in parts if values) + "}"


def quoted(text: str) -> str:
    """In double quotes, control characters escaped."""
    return json.dumps(text, ensure_ascii=False)


def quoted_list(values: Iterable[str]) -> str:
    return "[" + " ".join(quoted(value) for value in values) + "]"
