"""One replica's encryption key ring: kept on disk, spread among replicas, rotated in steps that reach them all.

    GET  /kmini/v1/keys       this replica's ring in words        system:masters, replicas
    POST /kmini/v1/keys       one step of a rotation              system:masters
    POST /kmini/v1/keys/ring  the ring, sealed, if it is newer    replicas
    POST /kmini/v1/keys/look  ask the others for a newer ring     replicas

A rotation is four steps: `add` a key, `use` it, `reencrypt`, `drop` the older keys. Each begins only when every member
answers and all have the same ring, and ends only when all have the new one; each is repeatable, so a rotation that
was interrupted goes on where it stopped. A replica asks the others for a newer ring when it starts, when it is told
to look, and every LOOK_EVERY_S. Rings travel between replicas alone, sealed (joining.py), and never through the log.

What must hold: a key encrypts only once every replica can decrypt with it; it is dropped only once nothing lies
under it; the ring on disk is written before it is used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from apiserver.api.errors import ApiError, BadRequest, Conflict, Forbidden, InternalError, ServiceUnavailable
from apiserver.encryption import Encryption
from apiserver.failures import api_error
from apiserver.reencryption import Progress
from raftstore.errors import StoreError

from . import joining, keyring, pki
from .keyring import KeyRing
from .user import GROUP_MASTERS, User

log = logging.getLogger(__name__)

PATH_KEYS = "/kmini/v1/keys"
PATH_RING = "/kmini/v1/keys/ring"
PATH_LOOK = "/kmini/v1/keys/look"
LOOK_EVERY_S = 60.0
SETTLE_S = 10.0  # longer than any write may take from being sealed to being stored
SPREAD_TRIES = 10
SPREAD_PAUSE_S = 0.5
PASSES_MAX = 10

Step = Literal["add", "use", "reencrypt", "drop"]


class RingFacts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A replica's ring in words: `keys` are ids, oldest first. Nothing in it is secret."""

    name: str
    generation: int
    digest: str
    active: str
    keys: tuple[str, ...]


class StepRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    step: Step


class StepAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`replicas`: all of them, after the step. `sealed_anew`: values that `reencrypt` wrote."""

    step: Step
    replicas: list[RingFacts]
    examined: int = 0
    sealed_anew: int = 0


class Others(Protocol):
    """The cluster as this replica's API server knows it."""

    def members(self) -> Sequence[str]:
        """Names of all members, learners and this replica included."""

    async def addresses(self) -> Mapping[str, str]:
        """Name → host:port of the API ports of the other replicas, as far as they are known. Raises StoreError."""

    async def ask(self, address: str, method: str, path: str, body: bytes) -> bytes:
        """One request with this replica's certificate. Raises ApiError, OSError."""


class RingKeeper:
    """See the module. Owns the ring file and the ring that `encryption` uses."""

    def __init__(
        self,
        *,
        name: str,
        path: Path,
        encryption: Encryption,
        others: Others,
        reencrypt: Callable[[], Awaitable[Progress]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`reencrypt` makes one pass over all encrypted kinds. Raises PkiError for a ring that does not load."""
        self._name = name
        self._path = path
        self._encryption = encryption
        self._others = others
        self._reencrypt = reencrypt
        self._sleep = sleep
        self._one_step = asyncio.Lock()
        self._one_write = asyncio.Lock()
        self.ring = keyring.load(path)
        encryption.reload(self.ring)

    # --- what the API port serves -----------------------------------------------------------------------

    async def answer(self, method: str, path: str, caller: User, body: bytes) -> bytes:
        """The answer to a request for one of the module's paths, in JSON. Raises ApiError."""
        check_caller(caller)
        trusted = GROUP_MASTERS in caller.groups
        if (method, path) == ("POST", PATH_RING):
            return joining.hand_out_ring(body, caller, self.ring)
        if (method, path) == ("POST", PATH_LOOK):
            await self.look()
            return msgspec.json.encode(self.facts())
        if (method, path) == ("GET", PATH_KEYS):
            if not trusted:
                return msgspec.json.encode(self.facts())
            return msgspec.json.encode(await self.gather())
        if (method, path) == ("POST", PATH_KEYS) and trusted:
            try:
                asked = msgspec.json.decode(body, type=StepRequest)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BadRequest(f"the body of the request: {error}") from None
            try:
                return msgspec.json.encode(await self.step(asked.step))
            except StoreError as error:
                raise api_error(error) from error
        raise Forbidden(f'"{caller.name}" may not {method} {path}')

    def facts(self) -> RingFacts:
        ring = self.ring
        return RingFacts(
            name=self._name,
            generation=ring.generation,
            digest=ring.digest,
            active=ring.active,
            keys=tuple(key.id for key in ring.keys),
        )

    # --- spreading ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look for a newer ring now and then; ends by being cancelled."""
        while True:
            await self.look()
            await self._sleep(LOOK_EVERY_S)

    async def look(self) -> bool:
        """Ask every other replica for a newer ring and take the newest. True: there was one. Raises nothing."""
        try:
            addresses = await self._addresses()
        except ApiError as error:
            log.info("no key ring from other replicas", extra={"error": error.message})
            return False
        found = await asyncio.gather(*(self._newer_from(address) for address in addresses.values()))
        newer = [ring for ring in found if ring is not None]
        if not newer:
            return False
        return await self._take(max(newer, key=lambda ring: ring.order))

    async def _addresses(self) -> Mapping[str, str]:
        """Raises ApiError."""
        try:
            return await self._others.addresses()
        except StoreError as error:
            raise api_error(error) from error

    async def _newer_from(self, address: str) -> KeyRing | None:
        asking = joining.Asking(self._name, purpose=joining.PURPOSE_RING, ring=self.ring)
        try:
            return joining.receive_ring(asking, await self._others.ask(address, "POST", PATH_RING, asking.body))
        except (ApiError, OSError, ValueError) as error:
            log.info("no key ring from another replica", extra={"address": address, "error": str(error)})
            return None

    async def _take(self, ring: KeyRing) -> bool:
        """Write a ring and use it, if it is newer than the present one."""
        async with self._one_write:
            if ring.order <= self.ring.order:
                return False
            try:
                await asyncio.to_thread(pki.write_file, self._path, ring.encode(), secret=True)
            except OSError as error:
                log.error("the new key ring cannot be written", extra={"path": str(self._path), "error": str(error)})
                return False
            self.ring = ring
            self._encryption.reload(ring)
        log.info("key ring", extra={"generation": ring.generation, "active": ring.active, "keys": len(ring.keys)})
        return True

    async def gather(self) -> list[RingFacts]:
        """The facts of every replica. Raises ServiceUnavailable naming the members that do not answer."""
        addresses = await self._addresses()
        answered = await asyncio.gather(*(self._facts_of(address) for address in addresses.values()))
        found = {facts.name: facts for facts in (self.facts(), *answered) if facts is not None}
        missing = sorted(set(self._others.members()) - set(found))
        if missing:
            raise ServiceUnavailable(
                f"{', '.join(missing)} does not answer: a key must reach every replica before it is used or dropped; "
                "start it, or remove it from the cluster"
            )
        return [found[name] for name in sorted(found)]

    async def _facts_of(self, address: str) -> RingFacts | None:
        try:
            return msgspec.json.decode(await self._others.ask(address, "GET", PATH_KEYS, b""), type=RingFacts)
        except (ApiError, OSError, msgspec.DecodeError) as error:
            log.info("a replica does not say which keys it has", extra={"address": address, "error": str(error)})
            return None

    # --- rotating -------------------------------------------------------------------------------------------

    async def step(self, step: Step) -> StepAnswer:
        """Take one step; when this returns it has reached every replica. Repeatable.

        Raises ServiceUnavailable when a member is missing, Conflict when the replicas' rings differ or the step is
        not due, CannotOpen for a value that no key opens.
        """
        async with self._one_step:
            self._all_alike(await self.gather())
            if step == "reencrypt":
                return await self._reencrypt_all()
            if step == "drop":
                await self._nothing_under_old_keys()
            ring = _next(step, self.ring)
            if ring is not self.ring and not await self._take(ring):
                raise InternalError(f"the key ring of {self._name} could not be written: see its log")
            return StepAnswer(step=step, replicas=await self._spread())

    async def _spread(self) -> list[RingFacts]:
        for attempt in range(SPREAD_TRIES):
            if attempt:
                await self._sleep(SPREAD_PAUSE_S)
            addresses = await self._addresses()
            await asyncio.gather(*(self._tell(address) for address in addresses.values()))
            replicas = await self.gather()
            if len({facts.digest for facts in replicas}) == 1:
                return replicas
        behind = [facts.name for facts in replicas if facts.digest != self.ring.digest]
        raise ServiceUnavailable(f"{', '.join(behind)} has not taken the new key ring yet: repeat this step")

    async def _tell(self, address: str) -> None:
        try:
            await self._others.ask(address, "POST", PATH_LOOK, b"")
        except (ApiError, OSError) as error:
            log.warning("a replica was not told of the new key ring", extra={"address": address, "error": str(error)})

    def _all_alike(self, replicas: Sequence[RingFacts]) -> None:
        others = sorted(facts.name for facts in replicas if facts.digest != self.ring.digest)
        if others:
            raise Conflict(
                f"the key ring of {', '.join(others)} differs from {self._name}'s: another rotation is under way, or "
                f"they are about to take the newer one; they look every {LOOK_EVERY_S:.0f} s"
            )

    async def _reencrypt_all(self) -> StepAnswer:
        """Passes until one finds nothing to do."""
        sealed_anew = 0
        for _ in range(PASSES_MAX):
            done = await self._reencrypt()
            sealed_anew += done.sealed_anew
            if done.complete:
                replicas = await self.gather()
                return StepAnswer(step="reencrypt", replicas=replicas, examined=done.examined, sealed_anew=sealed_anew)
        raise Conflict("values are still written under older keys: repeat this step")

    async def _nothing_under_old_keys(self) -> None:
        """Passes until one finds nothing to do after every write that was under way before it has ended."""
        if self.ring.active != self.ring.keys[-1].id:
            raise Conflict("the newest key is not in use yet: the step before is `use`")
        if self.ring.with_only_active() is self.ring:
            return
        for _ in range(PASSES_MAX):
            await self._reencrypt_all()
            await self._sleep(SETTLE_S)
            if (await self._reencrypt()).complete:
                return
        raise Conflict("values are still written under older keys: repeat this step")


def check_caller(caller: User) -> None:
    """Whether the caller is somebody to whom anything here is told. Raises Forbidden."""
    if GROUP_MASTERS not in caller.groups and pki.SERVER_GROUP not in caller.groups:
        raise Forbidden(f'"{caller.name}" may not see the encryption keys: that takes {GROUP_MASTERS}')


def _next(step: Step, ring: KeyRing) -> KeyRing:
    """The ring after a step; the ring itself when that is done already."""
    if step == "add":
        if ring.active != ring.keys[-1].id:
            return ring  # added and not used yet: a rotation that was interrupted
        try:
            return ring.with_new_key()
        except ValueError as error:
            raise Conflict(str(error)) from None
    return ring.with_newest_active() if step == "use" else ring.with_only_active()
