"""rbac.authorization.k8s.io/v1: who may do what, as roles (what) and bindings (who)."""

from __future__ import annotations

import msgspec

from .base import Object, always
from .meta import LabelSelector, TopObject


class PolicyRule(Object):
    """Allows verbs on resources, or on paths that are no resource. `*` stands for all.

    verbs: What may be done, as in get or create.
    api_groups: Groups of the resources; empty text is the core group.
    resources: Resources by plural name, `pods/log` for a subresource.
    resource_names: Only objects of these names; empty is all.
    non_resource_urls: Paths that are no resource; `*` at the end stands for all below. For cluster roles only.
    """

    verbs: list[str] = always([])
    api_groups: list[str] = []
    resources: list[str] = []
    resource_names: list[str] = []
    non_resource_urls: list[str] = []


class Subject(Object):
    """Who a role is given to.

    kind: User, Group or ServiceAccount.
    api_group: rbac.authorization.k8s.io for users and groups, empty for service accounts.
    name: Name of the subject.
    namespace: Namespace of a service account.
    """

    kind: str = always("")
    api_group: str = ""
    name: str = always("")
    namespace: str = ""


class RoleRef(Object):
    """The role that a binding gives.

    api_group: rbac.authorization.k8s.io.
    kind: Role or ClusterRole.
    name: Name of the role.
    """

    api_group: str = always("")
    kind: str = always("")
    name: str = always("")


class Role(TopObject):
    """What may be done in a namespace.

    rules: What may be done; one rule that fits is enough.
    """

    rules: list[PolicyRule] = always([])


class RoleBinding(TopObject):
    """Gives a role to subjects, in one namespace.

    subjects: Who it is given to.
    role_ref: The role, of the same namespace or of the cluster; cannot be changed.
    """

    subjects: list[Subject] = []
    role_ref: RoleRef = msgspec.field(default_factory=RoleRef)


class AggregationRule(Object):
    """Collects the rules of other cluster roles.

    cluster_role_selectors: Whose rules are collected: those any selector matches.
    """

    cluster_role_selectors: list[LabelSelector] = []


class ClusterRole(TopObject):
    """What may be done in the whole cluster, or, given by a RoleBinding, in a namespace.

    rules: What may be done; one rule that fits is enough.
    aggregation_rule: Collects the rules of other cluster roles; rules are then written by the server.
    """

    rules: list[PolicyRule] = always([])
    aggregation_rule: AggregationRule | None = None


class ClusterRoleBinding(TopObject):
    """Gives a cluster role to subjects, in the whole cluster.

    subjects: Who it is given to.
    role_ref: The cluster role; cannot be changed.
    """

    subjects: list[Subject] = []
    role_ref: RoleRef = msgspec.field(default_factory=RoleRef)
