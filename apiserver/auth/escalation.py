"""Nobody hands out what they do not hold: the checks on writes of roles and bindings.

Kubernetes' rules ("Privilege escalation prevention and bootstrapping"). To write a role one must hold every permission
in it, or the verb `escalate` on it; to write a binding, every permission of its role, or the verb `bind` on the role.
The metadata of a role counts too: a label may feed it to an aggregated role, so any change but to owners and
finalizers is checked. system:masters may do all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from apiserver.api.errors import Forbidden, NotFound
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding

from .rbac import GROUP, Rbac, is_master
from .rbac_rules import EVERYTHING, describe_uncovered, quoted, quoted_list, uncovered
from .user import Attributes, Decision, User

Authorize = Callable[[User, Attributes], Awaitable[Decision]]


class EscalationCheck:
    """Called by admission for each create and update of the four kinds. Raises Forbidden, NotFound."""

    def __init__(self, rbac: Rbac, authorize: Authorize) -> None:
        self._rbac = rbac
        self._authorize = authorize

    async def check_role(self, user: User, role: Role | ClusterRole, old: Role | ClusterRole | None) -> None:
        """`old` is None for a create."""
        if is_master(user) or (old is not None and _only_ownership_changed(role, old)):
            return
        plural = "clusterroles" if isinstance(role, ClusterRole) else "roles"
        if await self._may(user, "escalate", plural, role.metadata.namespace, role.metadata.name):
            return
        aggregates = any(isinstance(each, ClusterRole) and each.aggregation_rule is not None for each in (role, old))
        if aggregates and uncovered(self._rbac.rules_for(user).rules, EVERYTHING):
            raise _forbidden(plural, role, "must have cluster-admin privileges to use an aggregationRule")
        self._confirm(user, plural, role, role.rules)

    async def check_binding(
        self,
        user: User,
        binding: RoleBinding | ClusterRoleBinding,
        old: RoleBinding | ClusterRoleBinding | None,
    ) -> None:
        """`old` is None for a create."""
        if is_master(user) or (old is not None and _only_ownership_changed(binding, old)):
            return
        plural = "rolebindings" if isinstance(binding, RoleBinding) else "clusterrolebindings"
        role, namespace = binding.role_ref, binding.metadata.namespace
        role_plural = "roles" if role.kind == "Role" else "clusterroles"
        if await self._may(user, "bind", role_plural, namespace, role.name):
            return
        rules = self._rbac.role_rules(role.kind, namespace, role.name)
        if rules is None:
            raise NotFound(
                f"{role_plural}.{GROUP} {quoted(role.name)} not found", kind=role_plural, group=GROUP, name=role.name
            )
        self._confirm(user, plural, binding, rules)

    async def _may(self, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
        wanted = Attributes(verb=verb, group=GROUP, version="v1", resource=plural, namespace=namespace, name=name)
        return (await self._authorize(user, wanted)).allowed

    def _confirm(self, user: User, plural: str, obj: TopObject, wanted: list[PolicyRule]) -> None:
        held = self._rbac.rules_for(user, obj.metadata.namespace)
        try:
            missing = uncovered(held.rules, wanted)
        except ValueError as error:
            raise _forbidden(plural, obj, str(error)) from error
        if not missing:
            return
        message = (
            f"user {quoted(user.name)} (groups={quoted_list(user.groups)}) is attempting to grant RBAC permissions "
            f"not currently held:\n{describe_uncovered(missing)}"
        )
        if held.problems:
            message += f"; resolution errors: [{', '.join(sorted(set(held.problems)))}]"
        raise _forbidden(plural, obj, message)


def _forbidden(plural: str, obj: TopObject, why: str) -> Forbidden:
    name = obj.metadata.name
    return Forbidden(
        f"{plural}.{GROUP} {quoted(name)} is forbidden: {why}",
        kind=plural,
        group=GROUP,
        name=name,
    )


def _only_ownership_changed(new: TopObject, old: TopObject) -> bool:
    """What the garbage collector must be able to change of an object it may not grant."""
    return _without_ownership(new) == _without_ownership(old)


def _without_ownership(obj: TopObject) -> TopObject:
    bookkeeping = ObjectMeta()
    metadata = msgspec.structs.replace(
        obj.metadata,
        owner_references=bookkeeping.owner_references,
        finalizers=bookkeeping.finalizers,
        managed_fields=bookkeeping.managed_fields,
        resource_version=bookkeeping.resource_version,
    )
    return msgspec.structs.replace(obj, metadata=metadata)
