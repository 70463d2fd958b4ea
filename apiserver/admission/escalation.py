"""Writes of roles and bindings pass the check that nobody hands out what they do not hold."""

from __future__ import annotations

from typing import Protocol

from apiserver.api.rbac import ClusterRole, ClusterRoleBinding, Role, RoleBinding
from apiserver.auth.user import User

from .plugin import Admission, Base, Lookup


class Checks(Protocol):
    """`apiserver.auth.escalation.EscalationCheck`."""

    async def check_role(self, user: User, role: Role | ClusterRole, old: Role | ClusterRole | None) -> None: ...

    async def check_binding(
        self, user: User, binding: RoleBinding | ClusterRoleBinding, old: RoleBinding | ClusterRoleBinding | None
    ) -> None: ...


class RbacEscalation(Base):
    name = "RbacEscalation"

    def __init__(self, checks: Checks) -> None:
        self._checks = checks

    async def check(self, request: Admission, lookup: Lookup) -> None:
        """Raises Forbidden, NotFound."""
        if isinstance(request.obj, Role | ClusterRole):
            await self._checks.check_role(request.user, request.obj, request.old)
        elif isinstance(request.obj, RoleBinding | ClusterRoleBinding):
            await self._checks.check_binding(request.user, request.obj, request.old)
