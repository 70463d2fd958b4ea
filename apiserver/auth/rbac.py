"""Role-based access control, compiled in memory: who may do what, in microseconds and without a read.

`Rbac` is fed with all roles and bindings (`replace`) and then every change (`upsert`, `remove`), and must be fed
before a request is answered that saw the change. It keeps, per user and group name, the bindings that name them, so a
decision looks only at the asker's own; decisions are remembered until the next change.

ClusterRoles with an aggregationRule get the rules of those they select, here and at once: the stored `rules` of such a
role, which a controller writes (`aggregated_rules`), are for readers only and decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from apiserver.api.rbac import (
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    Subject,
)
from apiserver.api.selectors import Labels, from_label_selector

from .bounded import BoundedCache
from .rbac_rules import CompiledRule, compile_rules, quoted, rule_bytes
from .user import GROUP_MASTERS, SERVICE_ACCOUNT_PREFIX, Attributes, Decision, User

GROUP = "rbac.authorization.k8s.io"
ROLES = f"{GROUP}/roles"
ROLE_BINDINGS = f"{GROUP}/rolebindings"
CLUSTER_ROLES = f"{GROUP}/clusterroles"
CLUSTER_ROLE_BINDINGS = f"{GROUP}/clusterrolebindings"
KEYS = (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)

DECISIONS_MAX = 8192
NAMES_REMEMBERED_MAX = 256  # per decision
CHARACTERS_REMEMBERED_MAX = 512  # of a request; longer ones are decided anew each time
PROBLEMS_SHOWN_MAX = 5

_ObjectId = tuple[str, str]  # namespace, name


class ResolvedRules(NamedTuple):
    """`problems`: what could not be looked up, such as a binding's role that is not there."""

    rules: list[PolicyRule]
    problems: list[str]


class _Rules(NamedTuple):
    rules: list[PolicyRule]
    compiled: tuple[CompiledRule, ...]


class _ClusterRole(NamedTuple):
    own: _Rules
    labels: dict[str, str]
    selectors: tuple[Labels, ...] | None  # None: it aggregates nothing


class _Grant(NamedTuple):
    """One subject of one binding."""

    role_kind: str
    role_namespace: str  # of a Role
    role_name: str
    why: str


class _Outcome(NamedTuple):
    """Of a request whatever its name, and the names for which it is allowed beside."""

    decision: Decision
    names: dict[str, Decision]


#: Subject name -> namespace of the binding ("" for the cluster) -> id of the binding -> grant
_Index = dict[str, dict[str, dict[_ObjectId, _Grant]]]


class Rbac:
    def __init__(self, *, decisions_max: int = DECISIONS_MAX) -> None:
        self.generation = 0  # counts the changes of what this knows
        self._roles: dict[_ObjectId, _Rules] = {}
        self._cluster_roles: dict[str, _ClusterRole] = {}
        self._users: _Index = {}
        self._groups: _Index = {}
        self._subjects: dict[_ObjectId, list[tuple[_Index, str]]] = {}  # of each binding: where the index names it
        self._aggregated: dict[str, _Rules] = {}
        self._decisions: BoundedCache[tuple[Any, ...], _Outcome] = BoundedCache(decisions_max)

    # --- feeding ----------------------------------------------------------------------------------------------

    def replace(self, key: str, objects: Iterable[Any]) -> None:
        """All objects of one kind (one of KEYS), instead of what was known of it."""
        if key == ROLES:
            self._roles.clear()
        elif key == CLUSTER_ROLES:
            self._cluster_roles.clear()
        else:
            for binding_id in [known for known in self._subjects if (known[0] == "") == (key == CLUSTER_ROLE_BINDINGS)]:
                self._remove_binding(binding_id)
        self._forget_decisions(key)
        for obj in objects:
            self.upsert(key, obj)

    def upsert(self, key: str, obj: Any) -> None:
        """An object of one of KEYS as it is now."""
        meta = obj.metadata
        if key == ROLES:
            self._roles[meta.namespace, meta.name] = _compiled_role(obj)
        elif key == CLUSTER_ROLES:
            self._cluster_roles[meta.name] = _compiled_cluster_role(obj)
        elif key in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            self._remove_binding((meta.namespace, meta.name))
            self._add_binding(obj)
        else:
            raise ValueError(f"{key} is no kind of RBAC")
        self._forget_decisions(key)

    def remove(self, key: str, namespace: str, name: str) -> None:
        if key == ROLES:
            self._roles.pop((namespace, name), None)
        elif key == CLUSTER_ROLES:
            self._cluster_roles.pop(name, None)
        else:
            self._remove_binding((namespace, name))
        self._forget_decisions(key)

    def listener(self, key: str) -> Callable[[str, str, Any], None]:
        """For a mirror of one of KEYS: told of (namespace, name, object or None)."""

        def changed(namespace: str, name: str, obj: Any) -> None:
            if obj is None:
                self.remove(key, namespace, name)
            else:
                self.upsert(key, obj)

        return changed

    def _forget_decisions(self, key: str) -> None:
        self._decisions.clear()
        if key == CLUSTER_ROLES:
            self._aggregated.clear()
        self.generation += 1

    def _add_binding(self, binding: RoleBinding | ClusterRoleBinding) -> None:
        namespace = binding.metadata.namespace
        binding_id = (namespace, binding.metadata.name)
        places = self._subjects[binding_id] = []
        for subject in binding.subjects:
            index, subject_name = self._place(subject, namespace)
            if index is None:
                continue
            grants = index.setdefault(subject_name, {}).setdefault(namespace, {})
            if binding_id not in grants:
                role = binding.role_ref
                grants[binding_id] = _Grant(role.kind, namespace, role.name, _reason(binding, subject, namespace))
                places.append((index, subject_name))

    def _remove_binding(self, binding_id: _ObjectId) -> None:
        for index, subject_name in self._subjects.pop(binding_id, ()):
            namespaces = index[subject_name]
            grants = namespaces[binding_id[0]]
            del grants[binding_id]
            if not grants:
                del namespaces[binding_id[0]]
            if not namespaces:
                del index[subject_name]

    def _place(self, subject: Subject, namespace: str) -> tuple[_Index | None, str]:
        if subject.kind == "User":
            return self._users, subject.name
        if subject.kind == "Group":
            return self._groups, subject.name
        if subject.kind == "ServiceAccount" and (subject.namespace or namespace):
            return self._users, f"{SERVICE_ACCOUNT_PREFIX}{subject.namespace or namespace}:{subject.name}"
        return None, ""

    # --- deciding ---------------------------------------------------------------------------------------------

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        """The reason of a refusal names roles that bindings miss, if any; else it is empty."""
        verb, group, _, resource, subresource, namespace, name, path, _, _ = attributes
        key = (user.name, user.groups, verb, group, resource, subresource, namespace, path)
        outcome = self._decisions.get(key)
        if outcome is None:
            outcome = self._decide(user, attributes)
            length = len(verb) + len(group) + len(resource) + len(subresource) + len(namespace) + len(path)
            if len(outcome.names) <= NAMES_REMEMBERED_MAX and length <= CHARACTERS_REMEMBERED_MAX:
                self._decisions.put(key, outcome)
        if outcome.names and name in outcome.names:
            return outcome.names[name]
        return outcome.decision

    def _decide(self, user: User, attributes: Attributes) -> _Outcome:
        names: dict[str, Decision] = {}
        problems: list[str] = []
        verb, group = attributes.verb, attributes.group
        resource, wildcard = attributes.resource, ""
        if attributes.subresource:
            resource, wildcard = f"{resource}/{attributes.subresource}", f"*/{attributes.subresource}"
        for grant, rules in self._granted(user, attributes.namespace, problems):
            for rule in rules.compiled:
                if not resource:
                    allowed = rule.allows_path(verb, attributes.path)
                else:
                    allowed = rule.allows_resource(verb, group, resource, wildcard)
                if not allowed:
                    continue
                decision = Decision(True, f"RBAC: allowed by {grant.why}")
                if not rule.names or not resource:
                    return _Outcome(decision, {})
                names.update((name, decision) for name in rule.names if name not in names)
        return _Outcome(Decision(False, _refusal_reason(problems)), names)

    def _granted(self, user: User, namespace: str, problems: list[str]) -> Iterator[tuple[_Grant, _Rules]]:
        found = [self._users.get(user.name), *(self._groups.get(group) for group in user.groups)]
        for scope in ("", namespace) if namespace else ("",):
            for namespaces in found:
                if not namespaces:
                    continue
                for grant in namespaces.get(scope, {}).values():
                    rules = self._rules_of(grant)
                    if rules is None:
                        problems.append(_not_found(grant))
                    else:
                        yield grant, rules

    def _rules_of(self, grant: _Grant) -> _Rules | None:
        if grant.role_kind == "Role":
            return self._roles.get((grant.role_namespace, grant.role_name))
        return self._cluster_role_rules(grant.role_name) if grant.role_kind == "ClusterRole" else None

    # --- rules of roles and users -----------------------------------------------------------------------------

    def rules_for(self, user: User, namespace: str = "") -> ResolvedRules:
        """Every rule the user holds in a namespace; without one, in the whole cluster."""
        rules: dict[int, PolicyRule] = {}
        problems: list[str] = []
        for _, held in self._granted(user, namespace, problems):
            rules.update((id(rule), rule) for rule in held.rules)
        return ResolvedRules(list(rules.values()), problems)

    def role_rules(self, kind: str, namespace: str, name: str) -> list[PolicyRule] | None:
        """The rules of the Role or ClusterRole a binding refers to, aggregated ones too; None: it is not there."""
        found = self._rules_of(_Grant(kind, namespace, name, ""))
        return None if found is None else found.rules

    def aggregated_rules(self, role: ClusterRole) -> list[PolicyRule]:
        """What `rules` of a ClusterRole should be: its own, or with an aggregationRule those of the selected."""
        selectors = _selectors(role)
        return role.rules if selectors is None else self._collect(selectors, {role.metadata.name})

    def aggregating_roles(self) -> list[str]:
        """Names of the ClusterRoles whose stored rules must be kept up."""
        return sorted(name for name, role in self._cluster_roles.items() if role.selectors is not None)

    def _cluster_role_rules(self, name: str) -> _Rules | None:
        role = self._cluster_roles.get(name)
        if role is None or role.selectors is None:
            return role and role.own
        held = self._aggregated.get(name)
        if held is None:
            rules = self._collect(role.selectors, {name})
            held = self._aggregated[name] = _Rules(rules, compile_rules(rules))
        return held

    def _collect(self, selectors: tuple[Labels, ...], seen: set[str]) -> list[PolicyRule]:
        """Rules of all roles that are selected, and by those in turn; each role once, so that circles end."""
        rules: dict[bytes, PolicyRule] = {}
        for name in sorted(self._cluster_roles):
            role = self._cluster_roles[name]
            if name in seen or not any(selector.matches(role.labels) for selector in selectors):
                continue
            seen.add(name)
            found = role.own.rules if role.selectors is None else self._collect(role.selectors, seen)
            for rule in found:
                rules.setdefault(rule_bytes(rule), rule)
        return list(rules.values())


def is_master(user: User) -> bool:
    """Whether nothing is forbidden to the user (system:masters)."""
    return GROUP_MASTERS in user.groups


def _compiled_role(role: Role | ClusterRole) -> _Rules:
    return _Rules(role.rules, compile_rules(role.rules))


def _compiled_cluster_role(role: ClusterRole) -> _ClusterRole:
    return _ClusterRole(_compiled_role(role), role.metadata.labels, _selectors(role))


def _selectors(role: ClusterRole) -> tuple[Labels, ...] | None:
    if role.aggregation_rule is None:
        return None
    return tuple(from_label_selector(selector) for selector in role.aggregation_rule.cluster_role_selectors)


def _reason(binding: RoleBinding | ClusterRoleBinding, subject: Subject, namespace: str) -> str:
    name = f"{binding.metadata.name}/{namespace}" if namespace else binding.metadata.name
    who = subject.name
    if subject.kind == "ServiceAccount":
        who = f"{subject.name}/{subject.namespace or namespace}"
    role = binding.role_ref
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    return f"{kind} {quoted(name)} of {role.kind} {quoted(role.name)} to {subject.kind} {quoted(who)}"


def _not_found(grant: _Grant) -> str:
    return f"{grant.role_kind.lower()}.{GROUP} {quoted(grant.role_name)} not found"


def _refusal_reason(problems: list[str]) -> str:
    shown = sorted(set(problems))
    if not shown:
        return ""
    more = [f"and {len(shown) - PROBLEMS_SHOWN_MAX} more"] if len(shown) > PROBLEMS_SHOWN_MAX else []
    shown = shown[:PROBLEMS_SHOWN_MAX] + more
    return "RBAC: " + (shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]")
