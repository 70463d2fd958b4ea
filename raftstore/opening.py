"""From a data directory to a running replica: identity, journal, state, engine, peer port, in this order.

A new directory becomes a cluster of its own or takes part in founding or joining one (raft/bootstrap.py). The
journal of an identity is durable before the identity is written, so a crash in between repeats the last step.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import NamedTuple

from .command import COMMAND_TAGS_V1
from .config import StoreConfig
from .disk import RealDisk
from .errors import JournalDamaged, StateDamaged, StoreError
from .expulsion import Expulsion
from .identity import Identity, PeerIdentity, read_identity
from .mvcc.machine import StateMachine
from .raft import founding_file
from .raft.admission import Admission
from .raft.alone import NoWire
from .raft.bootstrap import BootstrapConfig, bootstrap, settle
from .raft.engine import Configuration, Member, Message
from .raft.founding import FoundingState
from .raft.journal import Journal
from .raft.node import Node
from .raft.repair import beyond_repair
from .raft.transport import PeerTransport
from .replica import Replica
from .runtime import AsyncioRuntime
from .snapshot import SnapshotStore, base_of
from .snapshotting import Places
from .state_folder import StateFolder, open_state

log = logging.getLogger(__name__)


class Opened(NamedTuple):
    """What a store consists of while it is open."""

    replica: Replica
    runtime: AsyncioRuntime
    journal: Journal
    transport: PeerTransport | None
    places: Places
    expulsion: Expulsion
    identity: Identity

    async def renew_credentials(self, config: StoreConfig) -> None:
        """See Store.renew_credentials."""
        if self.transport is not None:
            assert config.credentials_for is not None  # config.check
            self.transport.set_credentials(await asyncio.to_thread(config.credentials_for, self.identity.peer))

    async def close(self) -> None:
        """Stop, and give back every file, thread and socket. Idempotent."""
        self.replica.stop()
        await self.expulsion.close()
        if self.transport is not None:
            await self.transport.wait_closed()
        await asyncio.to_thread(self.runtime.close)
        self.replica.house.machine.close()
        self.journal.close(lane_ended=True)


async def open_replica(config: StoreConfig, stopped: Callable[[StoreError], None]) -> Opened:
    """Open or found, and start. Raises InvalidRequest, IntegrityError, MembershipError, OSError."""
    config.check()
    disk = await asyncio.to_thread(RealDisk, config.raft_folder)
    identity = await asyncio.to_thread(read_identity, disk)
    if identity is None:
        identity = await _begin(config, disk)
    journal, machine, places = await asyncio.to_thread(_open_files, config, disk, identity)
    try:
        opened = await _assemble(config, identity, journal, machine, places, stopped)
    except BaseException:
        machine.close()
        journal.close()
        raise
    try:
        opened.replica.start()
    except BaseException:
        await opened.close()
        raise
    return opened


# --- a new directory ----------------------------------------------------------------------------------


async def _begin(config: StoreConfig, disk: RealDisk) -> Identity:
    """Become a cluster, or a part of one; durable on return."""
    if config.own_address:
        assert config.credentials_for is not None  # config.check
        wanted = BootstrapConfig(
            name=config.name,
            address=config.own_address,
            bind=config.bind_to(),
            initial_cluster=config.peers,
            client_address=config.client_address,
        )
        begun = await bootstrap(wanted, disk=disk, credentials_for=config.credentials_for, report=_report_founding)
        identity, configuration = begun.identity, begun.configuration
    else:
        identity, configuration = await asyncio.to_thread(_alone, config, disk)
    await asyncio.to_thread(_settle, config, disk, identity, configuration)
    fields = {"cluster": identity.cluster_id, "member": identity.member_id, "member_name": config.name}
    log.info("identity", extra=fields)
    return identity


def _report_founding(error: BaseException) -> None:
    log.error("founding or joining met an error", exc_info=error)


def _alone(config: StoreConfig, disk: RealDisk) -> tuple[Identity, Configuration]:
    """A cluster of one without a port. What is drawn is kept first, so that a crash does not draw again."""
    state = founding_file.load(disk)
    if state is None or state.joins is None:
        draw = random.SystemRandom().getrandbits
        member = Member(draw(62) + 1, config.name, "", client_address=config.client_address)
        configuration = Configuration(draw(62) + 1, (member,))
        state = FoundingState(member_id=member.id, list_digest="", joins=configuration)
        founding_file.save(disk, state)
    assert state.joins is not None
    return Identity(state.joins.cluster_id, state.member_id, config.name), state.joins


def _settle(config: StoreConfig, disk: RealDisk, identity: Identity, configuration: Configuration) -> None:
    """The journal first, then the identity that vouches for it. After a crash in between it is there already."""
    try:
        Journal.create(
            disk,
            cluster_id=identity.cluster_id,
            member_id=identity.member_id,
            configuration=configuration,
            options=config.journal,
        ).close()
    except JournalDamaged:
        _open_journal(config, disk, identity).close()  # raises WrongCluster when it is not ours
    settle(disk, identity)


# --- what lies on disk --------------------------------------------------------------------------------


def _open_journal(
    config: StoreConfig, disk: RealDisk, identity: Identity, snapshots: SnapshotStore | None = None
) -> Journal:
    return Journal.open(
        disk,
        cluster_id=identity.cluster_id,
        member_id=identity.member_id,
        options=config.journal,
        snapshot=lambda: None if snapshots is None else base_of(snapshots.newest_good()),
    )


def _open_files(config: StoreConfig, disk: RealDisk, identity: Identity) -> tuple[Journal, StateMachine, Places]:
    """Journal and state. Blocking."""
    folder = RealDisk(config.raft_folder / "snapshots")
    snapshots = SnapshotStore(folder, cluster_id=identity.cluster_id)
    journal = _open_journal(config, disk, identity, snapshots)
    with contextlib.ExitStack() as undo:
        undo.callback(journal.close)
        hopeless = beyond_repair(journal, identity.member_id)
        if hopeless is not None:
            raise hopeless  # before the state is opened: it may hold what the journal lost
        state = StateFolder(config.state_folder, cluster_id=identity.cluster_id, member_id=identity.member_id)
        places = Places(snapshots, state, folder.folder)
        machine, decision = open_state(places.state, places.snapshots, journal, quota_bytes=config.options.quota_bytes)
        log.info(
            "state", extra={"rebuilt": decision.rebuild, "reason": decision.reason, "index": machine.applied_index}
        )
        undo.pop_all()
    return journal, machine, places


# --- wiring -------------------------------------------------------------------------------------------


async def _assemble(
    config: StoreConfig,
    identity: Identity,
    journal: Journal,
    machine: StateMachine,
    places: Places,
    stopped: Callable[[StoreError], None],
) -> Opened:
    """Put everything together; nothing runs yet."""
    replicas: list[Replica] = []

    def failed(context: str, error: BaseException) -> None:
        log.critical("unexpected error", extra={"context": context}, exc_info=error)
        for replica in replicas:
            replica.fail(StateDamaged(f"unexpected error in {context}: {error!r}; restart this replica"))

    runtime = AsyncioRuntime(asyncio.get_running_loop(), failed)
    expulsion = Expulsion(identity)
    transport = await _make_transport(config, identity, replicas, failed, expulsion)
    node = Node(
        member_id=identity.member_id,
        runtime=runtime,
        journal=journal,
        wire=transport or NoWire(),
        timing=config.options.timing,
        applied_index=machine.applied_index,
    )
    replica = Replica(
        runtime=runtime,
        member_id=identity.member_id,
        machine=machine,
        engine=node,
        places=places,
        options=config.options,
        stopped=stopped,
    )
    replicas.append(replica)
    if transport is not None:
        expulsion.watch(replica, transport)
    return Opened(replica, runtime, journal, transport, places, expulsion, identity)


async def _make_transport(
    config: StoreConfig,
    identity: Identity,
    replicas: list[Replica],
    failed: Callable[[str, BaseException], None],
    expulsion: Expulsion,
) -> PeerTransport | None:
    if not config.own_address:
        return None
    assert config.credentials_for is not None  # config.check
    credentials = await asyncio.to_thread(config.credentials_for, identity.peer)

    async def answer(asker: PeerIdentity, question: Message) -> Message:
        replica = replicas[0]
        return await Admission(replica.house.engine, lambda: confirmed(replica))(asker, question)

    return PeerTransport(
        identity.peer,
        config.name,
        bind=config.bind_to(),
        credentials=credentials,
        kinds=COMMAND_TAGS_V1,
        report=lambda error: failed("peer connections", error),
        answerer=answer,
        refused_by_member=expulsion.refused,
    )


async def confirmed(replica: Replica) -> bool:
    """Whether a leadership round begun now was confirmed here."""
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def told(index: int | None) -> None:
        if not future.done():
            future.set_result(index is not None)

    replica.reading.confirm(told)
    return await future
