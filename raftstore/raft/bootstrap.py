"""From an empty data directory to a member of a cluster: found it with others, or join it.

The I/O around `founding.Founder`: its state on disk before anything is sent, its questions over mTLS with a
certificate of cluster 0, and, when the cluster exists already, the asking to be let in. When `bootstrap`
returned, the caller creates the journal with the configuration given, then calls `settle`: in this order a
crash in between repeats the last step under the same member id and never leaves an identity without a journal.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..disk import Disk
from ..errors import InvalidRequest, MemberExists, UnavailableError
from ..identity import NO_CLUSTER, Identity, PeerIdentity, write_identity
from . import founding_file, joining
from .asking import Reception, ask
from .credentials import Credentials, TlsContexts, load_contexts
from .engine import Configuration, Member, Message
from .founding import ANSWER_S_MAX, Actions, Founder, FoundingState, FoundingTiming, check_list, list_digest
from .joining import MalformedMessage

_log = logging.getLogger("raftstore.bootstrap")

_TICK_S = 0.05
_CONNECT_S = 1.0  # to a host that is not there
_FAREWELL_S = 1.0
_JOIN_QUESTION_S = 5.0
_IN_FLIGHT_MAX = 4  # questions to one replica at a time
_JOIN_PAUSE_S_MIN = 0.05
_JOIN_PAUSE_S_MAX = 2.0
_CONFLICT_S = 20.0  # longer than a dead link is believed in
_LOG_EVERY_S = 10.0


class BootstrapConfig(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    address: str  # host:port other replicas reach the peer port at
    bind: tuple[str, int]
    initial_cluster: Mapping[str, str] = {}  # empty: a cluster of this replica alone
    client_address: str = ""


class Bootstrapped(msgspec.Struct, frozen=True, kw_only=True):
    """`configuration` is the base for an empty journal: the founding document, or the cluster's at joining."""

    identity: Identity
    configuration: Configuration


async def bootstrap(
    config: BootstrapConfig,
    *,
    disk: Disk,
    credentials_for: Callable[[PeerIdentity], Credentials],
    report: Callable[[BaseException], None],
    timing: FoundingTiming | None = None,
) -> Bootstrapped:
    """Found or join. Ends when this replica is a member; until then it logs what it waits for.

    `credentials_for` issues a peer certificate (blocking). Raises InvalidRequest for the list,
    MembershipError when the folder took part in another list's founding, MemberExists when a living member
    keeps holding this name or address, OSError for disk, port and certificate files.
    """
    process = _Process(config, disk, report, timing)
    return await process.run(credentials_for)


def settle(disk: Disk, identity: Identity) -> None:
    """Write the identity and forget the founding; the journal must be there.

    Blocking; raises OSError, IntegrityError.
    """
    write_identity(disk, identity)
    founding_file.remove(disk)


class _Process:
    def __init__(
        self,
        config: BootstrapConfig,
        disk: Disk,
        report: Callable[[BaseException], None],
        timing: FoundingTiming | None,
    ) -> None:
        self._list = dict(config.initial_cluster) or {config.name: config.address}
        check_list(self._list, config.name)
        if self._list[config.name] != config.address:
            raise InvalidRequest(
                f"initial cluster has {self._list[config.name]} for {config.name!r}, this replica is {config.address}"
            )
        self._config = config
        self._disk = disk
        self._report = report
        self._timing = timing
        self._saving = asyncio.Lock()  # what is decided first is saved first
        self._asking: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[str] = Counter()
        self._ended = asyncio.Event()
        self._contexts: TlsContexts
        self._founder: Founder
        self._own: Member
        self._logged = 0.0
        self._failure: OSError | None = None

    async def run(self, credentials_for: Callable[[PeerIdentity], Credentials]) -> Bootstrapped:
        state = await asyncio.to_thread(self._load)
        config = self._config
        self._own = Member(state.member_id, config.name, config.address, client_address=config.client_address)
        self._founder = Founder(
            self._own, self._list, state, random=random.random, random_id=_random_id, timing=self._timing
        )
        self._contexts = await asyncio.to_thread(
            lambda: load_contexts(credentials_for(PeerIdentity(NO_CLUSTER, state.member_id)))
        )
        reception = Reception(*config.bind, self._contexts, self._answer, self._report)
        try:
            configuration = await self._found()
            outcome = self._founder.outcome
            if outcome is not None and not outcome.member:
                configuration = await self._join(configuration)
        finally:
            await reception.close()  # first: an answer may lead to questions
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)
        identity = Identity(configuration.cluster_id, state.member_id, config.name)
        return Bootstrapped(identity=identity, configuration=configuration)

    def _load(self) -> FoundingState:
        state = founding_file.load(self._disk)
        return state or FoundingState(member_id=_random_id(), list_digest=list_digest(self._list))

    # --- founding ---------------------------------------------------------------------------------------

    async def _found(self) -> Configuration:
        while self._founder.outcome is None:
            async with self._saving:
                actions = self._founder.tick(time.monotonic())
                await self._save(actions)
            self._ask_all(actions)
            self._say_what_is_missing()
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._ended.wait()
            except TimeoutError:
                continue
        async with self._saving:  # whoever ended it is done saving what it ended with
            if self._failure is not None:
                raise self._failure
        if self._asking:  # tell the others, as far as they listen
            await asyncio.wait(self._asking, timeout=_FAREWELL_S)
        return self._founder.outcome.configuration

    async def _save(self, actions: Actions) -> None:
        """Inside `_saving`. After a failed write nothing is said any more: what we know is not what we remember."""
        if self._failure is not None:
            raise self._failure
        try:
            if actions.save is not None:
                await asyncio.to_thread(founding_file.save, self._disk, actions.save)
        except OSError as error:
            self._failure = error
            self._ended.set()
            raise
        if self._founder.outcome is not None:
            self._ended.set()

    async def _answer(self, asker: PeerIdentity, question: Message) -> Message:
        joining.sender_of(question, asker)
        if not question["type"].startswith("found."):
            return joining.wait("this replica is not a member yet")
        async with self._saving:
            actions, answer = self._founder.answer(question, time.monotonic())
            await self._save(actions)
        self._ask_all(actions)
        return answer

    def _ask_all(self, actions: Actions) -> None:
        for name, question in actions.sends:
            if self._in_flight[name] < _IN_FLIGHT_MAX:
                self._in_flight[name] += 1
                task = asyncio.get_running_loop().create_task(self._ask_one(name, question), name="founding-ask")
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)

    async def _ask_one(self, name: str, question: Message) -> None:
        asked = time.monotonic()
        try:
            answer = await ask(self._list[name], question, self._contexts, timeout_s=ANSWER_S_MAX, connect_s=_CONNECT_S)
            async with self._saving:
                actions = self._founder.receive(answer.message, asked, time.monotonic())
                await self._save(actions)
        except UnavailableError as error:
            _log.debug("no answer while founding", extra={"member": name, "why": error.message})
        except MalformedMessage as error:
            _log.warning("answer not understood while founding", extra={"member": name, "why": str(error)})
        except OSError as error:  # the disk: the next tick ends everything with the same error
            _log.error("founding state cannot be saved", extra={"why": str(error)})
        else:
            self._ask_all(actions)
        finally:
            self._in_flight[name] -= 1

    def _say_what_is_missing(self) -> None:
        if time.monotonic() - self._logged >= _LOG_EVERY_S:
            self._logged = time.monotonic()
            differing = dict(self._founder.disagreements)
            _log.info(
                "waiting for a majority of the initial cluster", extra={"names": list(self._list), "not": differing}
            )

    # --- joining ----------------------------------------------------------------------------------------

    async def _join(self, known: Configuration) -> Configuration:
        """Ask whoever may know until the leader says that we are a member."""
        contacts = dict.fromkeys([*(member.address for member in known.members), *self._list.values()])
        contacts.pop(self._config.address, None)
        pause_s = _JOIN_PAUSE_S_MIN
        conflict_since: float | None = None
        while True:
            answers = [await self._ask_to_join(address) for address in contacts]
            for answer in answers:
                if answer["type"] == "join.accepted":
                    return joining.read_configuration(answer.get("configuration"))
            now = time.monotonic()
            reasons = sorted({f"{answer.get('reason')!s:.300}" for answer in answers})
            if not any(answer.get("conflict") is True for answer in answers):
                conflict_since = None
            elif conflict_since is None:
                conflict_since = now
            elif now - conflict_since > _CONFLICT_S:
                raise MemberExists("; ".join(reasons))
            if now - self._logged >= _LOG_EVERY_S:
                self._logged = now
                _log.info("waiting to join", extra={"cluster": f"{known.cluster_id:016x}", "why": reasons})
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = _JOIN_PAUSE_S_MIN if "joining" in reasons else min(_JOIN_PAUSE_S_MAX, pause_s * 2)

    async def _ask_to_join(self, address: str) -> dict[str, Any]:
        """The answer of a replica, or of the leader it names. Raises InvalidRequest when refused for good."""
        answer: Message = joining.wait("no answer")
        for _ in range(2):
            try:
                request = joining.join_request(self._own)
                answer = (await ask(address, request, self._contexts, timeout_s=_JOIN_QUESTION_S)).message
            except UnavailableError as error:
                return joining.wait(error.message)
            if answer["type"] == "join.refused":
                raise InvalidRequest(f"{address} refused this replica: {answer.get('reason')!s:.300}")
            if answer["type"] != "join.redirect" or type(answer.get("address")) is not str:
                break
            address = answer["address"]
        return answer


def _random_id() -> int:
    return random.SystemRandom().getrandbits(62) + 1
