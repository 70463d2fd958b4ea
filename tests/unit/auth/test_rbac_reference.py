"""RBAC against a second, slow implementation that reads all roles and bindings anew for each question.

The rules of the slow one are written down as Kubernetes' documentation tells them, with loops and nothing remembered.
Changes come in any order; after each of them both must agree, and so must `uncovered` with what can be asked.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rbac_objects import binding, cluster_binding, cluster_role, role, user

from apiserver.api.rbac import PolicyRule
from apiserver.auth.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Rbac
from apiserver.auth.rbac_rules import uncovered
from apiserver.auth.user import Attributes, User

VERBS = ["get", "list", "*"]
GROUPS = ["", "apps", "*"]
RESOURCES = ["pods", "pods/log", "services", "*/log", "*"]
NAMES = ["a", "b"]
PATHS = ["/x", "/x/*", "/x/y", "*"]
NAMESPACES = ["n1", "n2"]
USERS = [user("u1", ["g1"]), user("u2", ["g1", "g2"]), user("system:serviceaccount:n1:sa")]
SUBJECTS = ["user:u1", "user:u2", "group:g1", "group:g2", "account:n1/sa", "account:sa"]
ROLE_NAMES = ["r1", "r2", "r3"]


def some(values: list[str], most: int = 2) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)


RESOURCE_RULES = st.builds(
    lambda verbs, groups, resources, names: PolicyRule(
        verbs=verbs, api_groups=groups, resources=resources, resource_names=names
    ),
    some(VERBS),
    some(GROUPS),
    some(RESOURCES),
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
)
PATH_RULES = st.builds(lambda verbs, paths: PolicyRule(verbs=verbs, non_resource_urls=paths), some(VERBS), some(PATHS))
RULES = st.lists(st.one_of(RESOURCE_RULES, PATH_RULES), max_size=2)
LABELS = st.dictionaries(st.sampled_from(["l1", "l2"]), st.just("y"), max_size=2)

CHANGES = st.one_of(
    st.builds(
        lambda name, rules, place: (ROLES, role(name, *rules, namespace=place)),
        st.sampled_from(ROLE_NAMES),
        RULES,
        st.sampled_from(NAMESPACES),
    ),
    st.builds(
        lambda name, rules, labels, collects: (
            CLUSTER_ROLES,
            cluster_role(name, *rules, labels=labels, collects=collects),
        ),
        st.sampled_from(ROLE_NAMES),
        RULES,
        LABELS,
        st.one_of(st.none(), LABELS),
    ),
    st.builds(
        lambda name, role_name, subjects, place, kind: (
            ROLE_BINDINGS,
            binding(name, role_name, *subjects, namespace=place, kind=kind),
        ),
        st.sampled_from(["b1", "b2"]),
        st.sampled_from(ROLE_NAMES),
        some(SUBJECTS),
        st.sampled_from(NAMESPACES),
        st.sampled_from(["Role", "ClusterRole"]),
    ),
    st.builds(
        lambda name, role_name, subjects: (CLUSTER_ROLE_BINDINGS, cluster_binding(name, role_name, *subjects)),
        st.sampled_from(["b1", "b2"]),
        st.sampled_from(ROLE_NAMES),
        some(SUBJECTS),
    ),
)
QUESTIONS = st.one_of(
    st.builds(
        lambda verb, group, resource, place, name: Attributes(
            verb, group, "v1", resource.partition("/")[0], resource.partition("/")[2], place, name
        ),
        st.sampled_from(["get", "list"]),
        st.sampled_from(["", "apps"]),
        st.sampled_from(["pods", "pods/log", "services", "services/log"]),
        st.sampled_from(["", *NAMESPACES]),
        st.sampled_from(["", *NAMES, "c"]),
    ),
    st.builds(
        lambda verb, path: Attributes(verb=verb, path=path), st.just("get"), st.sampled_from(["/x", "/x/y", "/z"])
    ),
)


class Slow:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Any] = {}

    def of_kind(self, key: str) -> list[Any]:
        return [obj for (kind, _, _), obj in self.objects.items() if kind == key]

    def rules_of(self, kind: str, namespace: str, name: str) -> list[PolicyRule]:
        found = self.objects.get((ROLES, namespace, name) if kind == "Role" else (CLUSTER_ROLES, "", name))
        if found is None:
            return []
        if kind == "Role" or found.aggregation_rule is None:
            return list(found.rules)
        reached = {name}
        while True:  # until nothing new is selected
            selecting = [self.objects[CLUSTER_ROLES, "", each] for each in reached]
            new = {
                other.metadata.name
                for each in selecting
                if each.aggregation_rule is not None
                for selector in each.aggregation_rule.cluster_role_selectors
                for other in self.of_kind(CLUSTER_ROLES)
                if selector.match_labels.items() <= other.metadata.labels.items()
            } - reached
            if not new:
                break
            reached |= new
        plain = [self.objects[CLUSTER_ROLES, "", each] for each in sorted(reached)]
        return [each for found in plain if found.aggregation_rule is None for each in found.rules]

    def held(self, who: User, namespace: str) -> list[PolicyRule]:
        bindings = self.of_kind(CLUSTER_ROLE_BINDINGS)
        if namespace:
            bindings += [each for each in self.of_kind(ROLE_BINDINGS) if each.metadata.namespace == namespace]
        return [
            rule
            for each in bindings
            if any(self.is_named(who, subject, each.metadata.namespace) for subject in each.subjects)
            for rule in self.rules_of(each.role_ref.kind, each.metadata.namespace, each.role_ref.name)
        ]

    @staticmethod
    def is_named(who: User, subject: Any, namespace: str) -> bool:
        if subject.kind == "User":
            return bool(subject.name == who.name)
        if subject.kind == "Group":
            return subject.name in who.groups
        place = subject.namespace or namespace
        return place != "" and who.name == f"system:serviceaccount:{place}:{subject.name}"

    def allows(self, who: User, asked: Attributes) -> bool:
        return any(rule_allows(rule, asked) for rule in self.held(who, asked.namespace))


def rule_allows(rule: PolicyRule, asked: Attributes) -> bool:
    if asked.verb not in rule.verbs and "*" not in rule.verbs:
        return False
    if not asked.resource:
        return any(
            url == asked.path or (url.endswith("*") and asked.path.startswith(url[:-1]))
            for url in rule.non_resource_urls
        )
    if asked.group not in rule.api_groups and "*" not in rule.api_groups:
        return False
    if rule.resource_names and asked.name not in rule.resource_names:
        return False
    names = {asked.resource, "*"}
    if asked.subresource:
        names = {f"{asked.resource}/{asked.subresource}", f"*/{asked.subresource}", "*"}
    return not names.isdisjoint(rule.resources)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), CHANGES), max_size=12), st.lists(QUESTIONS, min_size=1, max_size=6))
def test_both_agree_after_every_change(changes: list[tuple[bool, Any]], questions: list[Attributes]) -> None:
    fast, slow = Rbac(), Slow()
    for removes, (key, obj) in changes:
        namespace, name = obj.metadata.namespace, obj.metadata.name
        if removes:
            fast.remove(key, namespace, name)
            slow.objects.pop((key, namespace, name), None)
        else:
            fast.upsert(key, obj)
            slow.objects[key, namespace, name] = obj
        for asked in questions:
            for who in USERS:
                assert fast.authorize(who, asked).allowed == slow.allows(who, asked), (who, asked)


@settings(max_examples=300, deadline=None)
@given(RULES, RULES, st.lists(QUESTIONS, max_size=12))
def test_covered_rules_allow_nothing_more(
    owned: list[PolicyRule], wanted: list[PolicyRule], questions: list[Attributes]
) -> None:
    missing = uncovered(owned, wanted)
    for asked in questions:
        if any(rule_allows(rule, asked) for rule in wanted):
            held = any(rule_allows(rule, asked) for rule in owned)
            assert held or any(rule_allows(rule, asked) for rule in missing), asked
    assert uncovered([*owned, *missing], wanted) == []
    assert uncovered(wanted, wanted) == []
