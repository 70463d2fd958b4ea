"""Roles and bindings: the rules of rbac.authorization.k8s.io. Whether somebody may write them is not asked here."""

from __future__ import annotations

from apiserver.api.fields import Causes
from apiserver.api.names import NameRule, is_dns_subdomain, is_path_segment_name
from apiserver.api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from apiserver.api.validation import check, validate_label_selector
from apiserver.registry.strategy import Strategy, T

GROUP = "rbac.authorization.k8s.io"


class _Rbac(Strategy[T]):
    name_rule: NameRule = staticmethod(is_path_segment_name)
    allow_create_on_update = True


class RoleStrategy(_Rbac[Role]):
    def validate(self, obj: Role, causes: Causes) -> None:
        for index, rule in enumerate(obj.rules):
            validate_rule(rule, causes, f"rules[{index}]", namespaced=True)


class ClusterRoleStrategy(_Rbac[ClusterRole]):
    def validate(self, obj: ClusterRole, causes: Causes) -> None:
        for index, rule in enumerate(obj.rules):
            validate_rule(rule, causes, f"rules[{index}]", namespaced=False)
        if obj.aggregation_rule is None:
            return
        path = "aggregationRule.clusterRoleSelectors"
        if not obj.aggregation_rule.cluster_role_selectors:
            causes.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        for index, selector in enumerate(obj.aggregation_rule.cluster_role_selectors):
            validate_label_selector(selector, causes, f"{path}[{index}]")


class RoleBindingStrategy(_Rbac[RoleBinding]):
    def default(self, obj: RoleBinding) -> None:
        _default_binding(obj)

    def validate(self, obj: RoleBinding, causes: Causes) -> None:
        _validate_role_ref(obj.role_ref, causes, ("ClusterRole", "Role"))
        for index, subject in enumerate(obj.subjects):
            _validate_subject(subject, causes, f"subjects[{index}]", namespaced=True)

    def validate_update(self, obj: RoleBinding, old: RoleBinding, causes: Causes) -> None:
        _validate_same_role(obj.role_ref, old.role_ref, causes)


class ClusterRoleBindingStrategy(_Rbac[ClusterRoleBinding]):
    def default(self, obj: ClusterRoleBinding) -> None:
        _default_binding(obj)

    def validate(self, obj: ClusterRoleBinding, causes: Causes) -> None:
        _validate_role_ref(obj.role_ref, causes, ("ClusterRole",))
        for index, subject in enumerate(obj.subjects):
            _validate_subject(subject, causes, f"subjects[{index}]", namespaced=False)

    def validate_update(self, obj: ClusterRoleBinding, old: ClusterRoleBinding, causes: Causes) -> None:
        _validate_same_role(obj.role_ref, old.role_ref, causes)


ROLE = RoleStrategy()
CLUSTER_ROLE = ClusterRoleStrategy()
ROLE_BINDING = RoleBindingStrategy()
CLUSTER_ROLE_BINDING = ClusterRoleBindingStrategy()


def _default_binding(obj: RoleBinding | ClusterRoleBinding) -> None:
    obj.role_ref.api_group = obj.role_ref.api_group or GROUP
    for subject in obj.subjects:
        if subject.kind in ("User", "Group"):
            subject.api_group = subject.api_group or GROUP


def validate_rule(rule: PolicyRule, causes: Causes, path: str, *, namespaced: bool) -> None:
    """A rule is about resources or about other paths, and roles of a namespace know no other paths."""
    if not rule.verbs:
        causes.required(f"{path}.verbs", "verbs must contain at least one value")
    if rule.non_resource_urls:
        at = f"{path}.nonResourceURLs"
        if namespaced:
            causes.invalid(at, rule.non_resource_urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.api_groups or rule.resources or rule.resource_names:
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            causes.invalid(at, rule.non_resource_urls, detail)
        return
    if not rule.api_groups:
        causes.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.resources:
        causes.required(f"{path}.resources", "resource rules must supply at least one resource")


def _validate_role_ref(ref: RoleRef, causes: Causes, kinds: tuple[str, ...]) -> None:
    if ref.api_group != GROUP:
        causes.not_supported("roleRef.apiGroup", ref.api_group, (GROUP,))
    if ref.kind not in kinds:
        causes.not_supported("roleRef.kind", ref.kind, kinds)
    if not ref.name:
        causes.required("roleRef.name")
    else:
        check(is_path_segment_name, ref.name, causes, "roleRef.name")


def _validate_same_role(new: RoleRef, old: RoleRef, causes: Causes) -> None:
    """Else whoever may change a binding could give any role to its subjects."""
    if new != old:
        causes.invalid("roleRef", new, "cannot change roleRef")


def _validate_subject(subject: Subject, causes: Causes, path: str, *, namespaced: bool) -> None:
    if not subject.name:
        causes.required(f"{path}.name")
    if subject.kind == "ServiceAccount":
        if subject.name:
            check(is_dns_subdomain, subject.name, causes, f"{path}.name")
        if subject.api_group:
            causes.not_supported(f"{path}.apiGroup", subject.api_group, ("",))
        if not namespaced and not subject.namespace:
            causes.required(f"{path}.namespace")
    elif subject.kind in ("User", "Group"):
        if subject.api_group != GROUP:
            causes.not_supported(f"{path}.apiGroup", subject.api_group, (GROUP,))
    else:
        causes.not_supported(f"{path}.kind", subject.kind, ("Group", "ServiceAccount", "User"))
