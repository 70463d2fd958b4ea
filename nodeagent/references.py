"""What the node's pods refer to, read for all of them: ConfigMaps, Secrets, claims and the volumes behind them.

What must hold:
- A pod that is new here is given what was there when it came, or what is newer: who changes a ConfigMap and then makes
  a pod, or changes it, gets what they expect. After that a copy may be FRESH_S old.
- However many pods ask, one object is asked for once at a time, and READS_MAX of them at once.
- A copy is kept for as long as a pod here refers to it, and serves while the API is away. No disk ever has it.
- Objects are shared by all who ask: nobody changes one.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from apiserver.api.core.config import ConfigMap, Secret
from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError, Forbidden, NotFound
from apiserver.api.kinds import kind_of
from apiserver.api.meta import TopObject
from apiserver.api.pod_references import CLAIMS, CONFIG_MAPS, SECRETS, pod_references
from apiserver.client import Client

log = logging.getLogger(__name__)

FRESH_S = 1.0
READS_MAX = 8
ANSWER_WITHIN_S = 3.0  # when there is a copy
UNUSED_MAX = 256  # copies that no pod here is known to refer to

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

T = TypeVar("T", bound=TopObject)

_TYPES: dict[str, type[TopObject]] = {CONFIG_MAPS: ConfigMap, SECRETS: Secret, CLAIMS: PersistentVolumeClaim}


class _Key(NamedTuple):
    type: type[TopObject]
    namespace: str
    name: str


class _Copy:
    """`read_at`: when the reading of it began, by the loop's clock; `needed_at`: older ones will not do; `silent_at`:
    when the API had not answered in time: who asked before that waits no more."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.found: TopObject | None = None
        self.read_at = -math.inf
        self.needed_at = -math.inf
        self.silent_at = -math.inf
        self.pods: set[str] = set()

    def will_do(self, asked_at: float) -> bool:
        if self.known and self.silent_at >= asked_at:
            return True
        if self.read_at < self.needed_at:
            return False
        return _never_changes(self.found) or self.read_at >= asked_at - FRESH_S

    @property
    def known(self) -> bool:
        return self.read_at > -math.inf


class References:
    """Tell it which pods there are. Reads raise ApiError when nobody answers and nothing is known, and Forbidden when
    no pod of this node refers to the object (any more)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._copies: dict[_Key, _Copy] = {}  # in the order of their last use
        self._of_pods: dict[str, frozenset[_Key]] = {}
        self._slots = asyncio.Semaphore(READS_MAX)

    # --- pods ---------------------------------------------------------------------------------------------

    def pod_came(self, pod: Pod) -> None:
        """What it refers to is kept from now on, once read anew. Nothing happens for one that is here already."""
        if pod.metadata.uid not in self._of_pods:
            self.pod_changed(pod)

    def pod_changed(self, pod: Pod) -> None:
        """What it refers to is read anew: whoever changed the pod may have changed that first."""
        uid = pod.metadata.uid
        keys = self._of_pods[uid] = self._of_pods.get(uid, frozenset()) | frozenset(_keys_of(pod))
        now = asyncio.get_running_loop().time()
        for key in keys:
            copy = self._copies.setdefault(key, _Copy())
            copy.pods.add(uid)
            copy.needed_at = now

    def pod_went(self, uid: str) -> None:
        for key in self._of_pods.pop(uid, ()):
            copy = self._copies.get(key)
            if copy is not None:
                copy.pods.discard(uid)
                if not copy.pods:
                    del self._copies[key]

    # --- objects ------------------------------------------------------------------------------------------

    async def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        """None: there is none."""
        return await self._read(ConfigMap, namespace, name)

    async def secret(self, namespace: str, name: str) -> Secret | None:
        return await self._read(Secret, namespace, name)

    async def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return await self._read(PersistentVolumeClaim, namespace, name)

    async def volume(self, name: str) -> PersistentVolume | None:
        return await self._read(PersistentVolume, "", name)

    async def node(self, name: str) -> Node | None:
        return await self._read(Node, "", name)

    async def _read(self, type_: type[T], namespace: str, name: str) -> T | None:
        key = _Key(type_, namespace, name)
        asked_at = asyncio.get_running_loop().time()
        copy = self._copies.pop(key) if key in self._copies else _Copy()
        self._copies[key] = copy  # the last now
        if not copy.will_do(asked_at):
            async with copy.lock:  # who waited for another's reading has its answer
                if not copy.will_do(asked_at):
                    await self._read_anew(key, copy)
        self._forget_unused()
        found: Any = copy.found
        return found  # type: ignore[no-any-return]  # of the type in the key

    async def _read_anew(self, key: _Key, copy: _Copy) -> None:
        """Raises ApiError."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S if copy.known else None):
                began, found = await self._ask(key)
        except Forbidden:
            copy.found, copy.read_at = None, -math.inf
            raise
        except (ApiError, TimeoutError) as error:
            if not copy.known:
                raise
            copy.silent_at = asyncio.get_running_loop().time()
            log.info("a copy serves while the API does not", extra=_fields(key) | {"error": str(error)})
            return
        if found is not None:
            found.metadata.managed_fields = []
            found.metadata.annotations.pop(_LAST_APPLIED, None)  # all of it once more
        copy.found, copy.read_at = found, began

    async def _ask(self, key: _Key) -> tuple[float, TopObject | None]:
        """With the moment when it began. Raises ApiError."""
        async with self._slots:
            began = asyncio.get_running_loop().time()
            try:
                return began, await self._client.get(key.type, key.name, namespace=key.namespace)
            except NotFound:
                return began, None

    def _forget_unused(self) -> None:
        if len(self._copies) <= UNUSED_MAX:
            return
        unused = [key for key, copy in self._copies.items() if not copy.pods and not copy.lock.locked()]
        for key in unused[: max(0, len(unused) - UNUSED_MAX)]:
            del self._copies[key]


def _keys_of(pod: Pod) -> Iterable[_Key]:
    for reference in pod_references(pod):
        resource, _, name = reference.partition("/")
        if resource in _TYPES:
            yield _Key(_TYPES[resource], pod.metadata.namespace, name)


def _never_changes(found: TopObject | None) -> bool:
    return isinstance(found, ConfigMap | Secret) and bool(found.immutable)


def _fields(key: _Key) -> dict[str, str]:
    return {"resource": kind_of(key.type).group_resource, "object": f"{key.namespace}/{key.name}"}
