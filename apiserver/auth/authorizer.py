"""May this user do that? system:masters may all; health and version are everybody's; then nodes' rules, then RBAC.

Rules only allow, so the first that does decides. A refusal becomes one Forbidden in Kubernetes' words.
"""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.errors import Forbidden

from .node_authorizer import NodeAuthorizer, exact_field, node_name
from .rbac import Rbac, is_master
from .rbac_rules import quoted
from .user import ALLOWED, Attributes, Decision, User

#: Paths that tell nothing but whether the server is well and which version it is.
PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
_SELECTING_VERBS = frozenset({"list", "watch", "deletecollection"})


class Authorizer:
    def __init__(self, rbac: Rbac, nodes: NodeAuthorizer) -> None:
        self.rbac = rbac
        self._nodes = nodes

    async def authorize(self, user: User, attributes: Attributes) -> Decision:
        """Raises ServiceUnavailable when a node's relation cannot be known for want of a leader."""
        if is_master(user):
            return ALLOWED
        if attributes.path in PUBLIC_PATHS and attributes.verb in ("get", "head") and not attributes.is_resource:
            return ALLOWED
        if attributes.field_selector:
            attributes = selected_name(attributes)
        refusals = []
        if node_name(user):
            decision = await self._nodes.authorize(user, attributes)
            if decision.allowed:
                return decision
            refusals.append(decision.reason)
        decision = self.rbac.authorize(user, attributes)
        if decision.allowed:
            return decision
        return Decision(False, "\n".join(filter(None, [*refusals, decision.reason])))

    async def require(self, user: User, attributes: Attributes) -> None:
        """Raises Forbidden."""
        if self.rbac.authorize(user, attributes).allowed:  # rules only allow: no other could change that
            return
        decision = await self.authorize(user, attributes)
        if not decision.allowed:
            raise forbidden(user, attributes, decision.reason)

    async def require_all(self, user: User, wanted: Sequence[Attributes]) -> None:
        """Raises Forbidden for the first that is not allowed."""
        for attributes in wanted:
            await self.require(user, attributes)


def selected_name(attributes: Attributes) -> Attributes:
    """A list or watch by `metadata.name=x` asks for that object alone, and rules with resourceNames may allow it.

    Whoever serves it must apply the same selector.
    """
    if attributes.name or attributes.verb not in _SELECTING_VERBS:
        return attributes
    return attributes._replace(name=exact_field(attributes.field_selector, "metadata.name"))


def forbidden(user: User, attributes: Attributes, reason: str = "") -> Forbidden:
    """`pods "x" is forbidden: User "u" cannot get resource "pods" in API group "" in the namespace "default"`."""
    message = refusal_message(user, attributes)
    if reason:
        message = f"{message}: {reason}"
    if not attributes.is_resource:
        return Forbidden(f"forbidden: {message}")
    group, name = attributes.group, attributes.name
    shown = f"{attributes.resource}.{group}" if group else attributes.resource
    subject = f"{shown} {quoted(name)}" if name else shown
    return Forbidden(f"{subject} is forbidden: {message}", kind=attributes.resource, group=group, name=name)


def refusal_message(user: User, attributes: Attributes) -> str:
    who = f"User {quoted(user.name)}"
    if not attributes.is_resource:
        return f"{who} cannot {attributes.verb} path {quoted(attributes.path)}"
    resource = attributes.resource
    if attributes.subresource:
        resource = f"{resource}/{attributes.subresource}"
    where = f"in the namespace {quoted(attributes.namespace)}" if attributes.namespace else "at the cluster scope"
    return f"{who} cannot {attributes.verb} resource {quoted(resource)} in API group {quoted(attributes.group)} {where}"
