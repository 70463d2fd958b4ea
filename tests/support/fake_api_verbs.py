"""The real verbs of the API server over a store in memory: what is under test talks to the rules it will meet.

Replaced is only what needs a machine or would differ from run to run: names, uids and addresses come from the seed,
the wall clock from the event loop, lists from the store itself, certificates from an authority made when first needed.
No rights are checked: everybody may do everything.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from random import Random
from typing import Any, cast
from uuid import UUID

from virtual_time import now_s

from apiserver.admission.chain import Chain, default_chain
from apiserver.api.core.namespace import Namespace
from apiserver.api.errors import NotFound
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.api.scheduling import PriorityClass
from apiserver.auth import pki
from apiserver.auth.rbac import Rbac
from apiserver.auth.signing import sign
from apiserver.auth.user import ALLOWED, GROUP_AUTHENTICATED, GROUP_MASTERS, Attributes, Decision, User
from apiserver.bootstrap import NAMESPACES, PRIORITIES
from apiserver.effects.addresses import ServiceAddresses
from apiserver.effects.bound import PodBound
from apiserver.effects.effect import Effect
from apiserver.effects.fencing import LeaseFence
from apiserver.effects.namespaces import InNamespace, NewNamespace
from apiserver.effects.signing import SignApproved
from apiserver.feed.feed import Feeds
from apiserver.registry.resource import Resource
from apiserver.registry.table import Table, table
from apiserver.storage import PAGE_KEYS, Storage, Stored, decode, key_of, range_of
from apiserver.verbs.call import Call, ListOptions
from apiserver.verbs.deleting import Deleter
from apiserver.verbs.reading import Listing, Reader, _matcher
from apiserver.verbs.selection import Selection
from apiserver.verbs.verbs import Verbs
from apiserver.verbs.writing import GENERATED_PREFIX_CHARACTERS_MAX, GENERATED_SUFFIX_CHARACTERS, Writer

ADMIN = User(name="kmini-admin", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))
SERVICE_CIDR = "10.96.0.0/16"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


async def _allow(user: User, wanted: Attributes) -> Decision:
    return ALLOWED


class FakeVerbs:
    """`verbs` answers calls, `storage` is what they work on."""

    def __init__(self, storage: Storage, random: Random) -> None:
        self.storage = storage
        self.table: Table = table()
        self.random = random
        self.lookup = FakeLookup(storage, self.table)
        rbac = Rbac()
        self.admission: Chain = default_chain(self.lookup, authorize=_allow, rbac=rbac, foreign=())
        self.effects = self._effects()
        self.writer = SeededWriter(storage, self.admission.admit, self.admission.check, self.effects, now_s)
        self.writer.random = random
        self.reader = FakeReader(storage, cast(Feeds, None))
        deleter = Deleter(self.writer, self.reader)
        self.verbs = Verbs(self.reader, self.writer, deleter, _no_review, _no_token, _no_usage)

    def uid(self) -> str:
        return uid_of(self.random)

    def _effects(self) -> Mapping[str, Sequence[Effect]]:
        row = self.table.of_key
        in_namespace = InNamespace(self.storage, row("namespaces"))
        new_namespace = SeededNamespace(row("serviceaccounts"), row("configmaps"), "ca", now_s)
        addresses = SeededAddresses(self.storage, SERVICE_CIDR)
        new_namespace.random = addresses.random = self.random
        own: dict[str, Effect] = {
            "pods": PodBound(self.storage, row("nodes")),
            "services": addresses,
            "namespaces": new_namespace,
            "coordination.k8s.io/leases": LeaseFence(self.storage),
            "certificates.k8s.io/certificatesigningrequests": LazySigning(cast(pki.KeyPair, None), now_s),
        }
        found: dict[str, list[Effect]] = {}
        for resource in self.table.rows:
            if not resource.stored_as:
                mine: list[Effect] = [in_namespace] if resource.namespaced else []
                found[resource.key] = [*mine, *([own[resource.key]] if resource.key in own else [])]
        return found

    def first_objects(self) -> list[TopObject]:
        """What every cluster begins with, but for roles."""
        namespaces: list[TopObject] = [
            Namespace(api_version="v1", kind="Namespace", metadata=ObjectMeta(name=name)) for name in NAMESPACES
        ]
        return namespaces + [
            PriorityClass(
                api_version="scheduling.k8s.io/v1",
                kind="PriorityClass",
                metadata=ObjectMeta(name=name),
                value=value,
            )
            for name, value in PRIORITIES.items()
        ]


def uid_of(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))


async def _no_review(call: Call, review: Any) -> Any:
    raise NotFound("the fake API answers no reviews")


async def _no_token(account: Any, request: Any, warn: Any) -> Any:
    raise NotFound("the fake API makes no tokens")


async def _no_usage(call: Call) -> Any:
    raise NotFound("the fake API has no nodes to ask what they use")


# --- what would differ from run to run ------------------------------------------------------------------


class SeededWriter(Writer):
    random: Random

    def _new_identity(self, resource: Resource, meta: ObjectMeta) -> bool:
        generates = not meta.name and bool(meta.generate_name)
        if generates:
            suffix = "".join(self.random.choices(_ALPHABET, k=GENERATED_SUFFIX_CHARACTERS))
            meta.name = meta.generate_name[:GENERATED_PREFIX_CHARACTERS_MAX] + suffix
        super()._new_identity(resource, meta)
        meta.uid = uid_of(self.random)
        return generates


class SeededNamespace(NewNamespace):
    random: Random

    def _metadata(self, name: str, namespace: str) -> ObjectMeta:
        metadata = super()._metadata(name, namespace)
        metadata.uid = uid_of(self.random)
        return metadata


class SeededAddresses(ServiceAddresses):
    random: Random

    def _free_place(self, size: int, key_of: Any) -> int | None:
        start = self.random.randrange(size) if size > 0 else 0
        for step in range(size):
            place = (start + step) % size
            if self._storage.peek_key(key_of(place)) is None:
                return place
        return None


class LazySigning(SignApproved):
    async def _sign(self, request: Any) -> None:
        self._authority = _authority()
        try:
            pem = sign(request.spec, self._authority)
        except ValueError as error:
            request.status.conditions.append(self._condition("Failed", "SignerValidationFailure", str(error)))
        else:
            request.status.certificate = base64.b64encode(pem.encode()).decode()


@cache
def _authority() -> pki.KeyPair:
    return pki.make_authority("fake")


# --- what reads without feeds ---------------------------------------------------------------------------


class FakeReader(Reader):
    """Lists look at every object of the range: there is no index."""

    async def open_list(self, call: Call, options: ListOptions) -> Listing:
        selection = Selection(call.stored, options.labels, options.fields)
        start, end, _ = self._span(call, selection)
        token = self._token(call, options)
        if token is not None:
            start, revision = max(start, token.start.encode()), token.rv
        else:
            revision = (await self._revision_for(options))[0]
        if selection.namespace and call.namespace and selection.namespace != call.namespace:
            start = end
        size = min(PAGE_KEYS, options.limit + 1) if options.limit else PAGE_KEYS
        matches = _matcher(call.stored, selection)
        pieces = self._pages(call.stored, start, end, size, revision, matches)
        return Listing(revision, pieces, end, matches is None)

    async def applied(self, version: int) -> None:
        if version > self.storage.store.revision:
            await super().applied(version)


class FakeLookup:
    """What admission reads. Objects are kept by key and revision, and shared."""

    def __init__(self, storage: Storage, table: Table) -> None:
        self._storage = storage
        self._table = table

    async def get(self, key: str, namespace: str, name: str, *, linearizable: bool = False) -> Any | None:
        resource = self._table.of_key(key)
        found = self._storage.peek_key(key_of(resource, namespace, name))
        return None if found is None else _decoded(resource, found.value, found.mod_revision)

    async def list(self, key: str, namespace: str = "") -> Sequence[Any]:
        resource = self._table.of_key(key)
        page = self._storage.page(*range_of(resource, namespace), limit=PAGE_KEYS)
        return [_decoded(resource, *stored) for _, stored in page.items]


@lru_cache(4096)
def _decoded(resource: Resource, plain: bytes, revision: int) -> Any:
    return decode(resource, Stored(plain, revision))


def at_once(coroutine: Any) -> Any:
    """The outcome of a coroutine that never waits: the verbs over a store in memory are such."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("the coroutine waits")
