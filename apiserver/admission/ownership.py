"""Nobody blocks the deletion of an object whose finalizers they may not set.

`blockOwnerDeletion` in an owner reference does to the owner what a finalizer does. Kubernetes'
OwnerReferencesPermissionEnforcement, without its second rule: kmini lets whoever may write an object name its owners.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apiserver.api.kinds import kind_named
from apiserver.api.meta import OwnerReference
from apiserver.auth.escalation import Authorize
from apiserver.auth.user import Attributes

from .plugin import Admission, Base, Lookup, forbidden


class OwnerReferences(Base):
    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    async def check(self, request: Admission, lookup: Lookup) -> None:
        if request.obj is None or request.operation not in ("CREATE", "UPDATE"):
            return
        before = [] if request.old is None else _blocking(request.old)
        for owner in _blocking(request.obj):
            if owner not in before:
                await self._require(request, owner)

    async def _require(self, request: Admission, owner: OwnerReference) -> None:
        words = "cannot set blockOwnerDeletion"
        kind = kind_named(owner.api_version, owner.kind)
        if kind is None:
            raise forbidden(
                request,
                f"{words} in this case because cannot find RESTMapping for APIVersion {owner.api_version} "
                f"Kind {owner.kind}",
            )
        wanted = Attributes(
            verb="update",
            group=kind.group,
            version=kind.version,
            resource=kind.plural,
            subresource="finalizers",
            namespace=request.namespace if kind.namespaced else "",
            name=owner.name,
        )
        decision = await self._authorize(request.user, wanted)
        if not decision.allowed:
            why = f": {decision.reason}" if decision.reason else ""
            raise forbidden(
                request,
                f"{words} if an ownerReference refers to a resource you can't set finalizers on{why}",
            )


def _blocking(obj: Any) -> Sequence[OwnerReference]:
    return [each for each in obj.metadata.owner_references if each.block_owner_deletion]
