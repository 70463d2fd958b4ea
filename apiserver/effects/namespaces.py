"""A namespace and what must be true of everything in it, in one transaction each.

With a namespace come its ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`. Nothing is created in a
namespace that is not there or is going away: the creation's transaction compares the namespace's own key.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from apiserver.api.core.config import ConfigMap
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.errors import Forbidden, NotFound
from apiserver.api.meta import ObjectMeta, StatusCause, TopObject
from apiserver.api.times import now_text
from apiserver.effects.effect import CREATE, Write
from apiserver.registry.resource import Resource
from apiserver.storage import Storage, decode, encode, key_of
from raftstore import Compare, KeyValue

ROOT_CA = "kube-root-ca.crt"
DEFAULT_ACCOUNT = "default"


class InNamespace:
    """The effect of creating anything in a namespace."""

    def __init__(self, storage: Storage, namespaces: Resource) -> None:
        self._storage = storage
        self._namespaces = namespaces

    async def plan(self, write: Write) -> None:
        """Raises NotFound, Forbidden. One that seems not to be there, or to go away, is asked for once more."""
        if write.verb != CREATE or not write.namespace:
            return
        key = key_of(self._namespaces, "", write.namespace)
        found, goes_away = self._look(key)
        if found is None or goes_away:
            await self._storage.linearize()
            found, goes_away = self._look(key)
        if found is None:
            raise NotFound(f'namespaces "{write.namespace}" not found', kind="namespaces", name=write.namespace)
        if goes_away:
            raise _terminating(write)
        write.transaction.compare.append(Compare.mod_revision(key) == found.mod_revision)

    def _look(self, key: bytes) -> tuple[KeyValue | None, bool]:
        """The namespace as this replica knows it, and whether it goes away."""
        found = self._storage.peek_key(key)
        if found is None:
            return None, False
        namespace = decode(self._namespaces, self._storage.opened(key, found))
        return found, namespace.metadata.deletion_timestamp is not None


def _terminating(write: Write) -> Forbidden:
    resource = write.resource
    return Forbidden(
        f'{resource.group_resource} "{write.name}" is forbidden: unable to create new content in namespace '
        f"{write.namespace} because it is being terminated",
        kind=resource.plural,
        group=resource.group,
        name=write.name,
        causes=[
            StatusCause(
                reason="NamespaceTerminating",
                message=f"namespace {write.namespace} is being terminated",
                field="metadata.namespace",
            )
        ],
    )


class NewNamespace:
    """The effect of creating a namespace."""

    def __init__(
        self, accounts: Resource, config_maps: Resource, ca_pem: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._accounts = accounts
        self._config_maps = config_maps
        self._ca_pem = ca_pem
        self._clock = clock

    async def plan(self, write: Write) -> None:
        if write.verb != CREATE:
            return
        root_ca = ConfigMap(metadata=self._metadata(ROOT_CA, write.name), data={"ca.crt": self._ca_pem})
        root_ca.metadata.annotations = {
            "kubernetes.io/description": "Contains the CA certificate that servers of this cluster show."
        }
        self._put(write, self._accounts, ServiceAccount(metadata=self._metadata(DEFAULT_ACCOUNT, write.name)))
        self._put(write, self._config_maps, root_ca)

    def _metadata(self, name: str, namespace: str) -> ObjectMeta:
        return ObjectMeta(
            name=name, namespace=namespace, uid=str(uuid.uuid4()), creation_timestamp=now_text(self._clock)
        )

    @staticmethod
    def _put(write: Write, resource: Resource, obj: TopObject | Any) -> None:
        obj.kind, obj.api_version = resource.kind, resource.api_version
        write.transaction.put(key_of(resource, obj.metadata.namespace, obj.metadata.name), encode(obj))
