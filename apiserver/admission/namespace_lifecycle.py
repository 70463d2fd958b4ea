"""No object without its namespace: none is made in one that is missing or being emptied, and four are there for ever.

Kubernetes' NamespaceLifecycle. A namespace may be newer than what this replica has applied, so its absence or its
end is believed only after the cluster was asked.
"""

from __future__ import annotations

from typing import Any

from apiserver.api.errors import NotFound
from apiserver.api.meta import StatusCause

from .plugin import Admission, Base, Lookup, find, forbidden

IMMORTAL = frozenset({"default", "kube-node-lease", "kube-public", "kube-system"})
NAMESPACES = "namespaces"


class NamespaceLifecycle(Base):
    name = "NamespaceLifecycle"

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        """Raises Forbidden, NotFound, ServiceUnavailable."""
        if request.resource.key == NAMESPACES:
            if request.operation == "DELETE" and not request.subresource and request.name in IMMORTAL:
                raise forbidden(request, "this namespace may not be deleted")
            return
        if request.operation != "CREATE" or not request.namespace or _is_review(request):
            return
        namespace = await find(lookup, NAMESPACES, "", request.namespace)
        if namespace is not None and _goes_away(namespace):
            namespace = await lookup.get(NAMESPACES, "", request.namespace, linearizable=True)
        if namespace is None:
            raise NotFound(f'namespaces "{request.namespace}" not found', kind=NAMESPACES, name=request.namespace)
        if _goes_away(namespace):
            raise forbidden(
                request,
                f"unable to create new content in namespace {request.namespace} because it is being terminated",
                causes=[
                    StatusCause(
                        reason="NamespaceTerminating",
                        message=f"namespace {request.namespace} is being terminated",
                        field="metadata.namespace",
                    )
                ],
            )


def _goes_away(namespace: Any) -> bool:
    return namespace.metadata.deletion_timestamp is not None or namespace.status.phase == "Terminating"


def _is_review(request: Admission) -> bool:
    """A question about a namespace, which may be asked before the namespace is there."""
    return request.resource.group == "authorization.k8s.io"
