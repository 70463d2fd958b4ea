"""`kminictl raft`: the group of replicas, looked at and changed through their etcd face.

    status members   what each replica is, how far it is
    add remove transfer   one change at a time; the group itself refuses what would lose its majority
    compact snapshot      history, and a copy of everything

Only the administrator's certificate may; nothing here goes around the server's own checks.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import Verbs, switch, verb
from ..failures import CommandError

if TYPE_CHECKING:
    from ..cluster.etcd_face import EtcdFace, Member
    from ..cluster.session import Session

_endpoints = click.option(
    "--endpoints", default="", help="etcd faces of replicas: HOST:PORT,...; port 2379 of the API server's host."
)
_FORMATS = ("text", "json")
_output = click.option("-o", "--output", type=click.Choice(_FORMATS), default="text")


@click.group("raft", cls=Verbs)
def raft() -> None:
    """Look at and change the group of replicas."""


def _open(session: Session, endpoints: str) -> EtcdFace:
    from ..cluster.etcd_face import addresses, first_that_answers

    return first_that_answers(addresses(endpoints, session.server), session.access)


async def members_of(session: Session, endpoints: str) -> list[Member]:
    from ..cluster.etcd_face import look

    def ask() -> list[Member]:
        with _open(session, endpoints) as face:
            return look(face, session.access)

    return await asyncio.to_thread(ask)


def _role(member: Member) -> str:
    if member.problem and not member.version:
        return "unreachable"
    return "leader" if member.leader else "learner" if member.learner else "follower"


def _as_json(found: list[Member]) -> str:
    import msgspec

    from ..output import gojson

    return gojson.indented(
        [msgspec.to_builtins(each) | {"id": each.shown_id, "role": _role(each)} for each in found], 2
    )


@raft.command("status")
@_endpoints
@_output
@verb
async def status(session: Session, endpoints: str, output: str) -> None:
    """Say who leads, how far each replica is, and what is wrong."""
    from ..output.tabwriter import Columns

    found = await members_of(session, endpoints)
    if output == "json":
        session.say(_as_json(found))
        return
    columns = Columns()
    columns.add(["NAME", "ID", "ROLE", "TERM", "INDEX", "APPLIED", "REVISION", "VERSION", "PROBLEM"])
    for each in found:
        numbers = [str(number) for number in (each.term, each.index, each.applied, each.revision)]
        columns.add([each.name, each.shown_id, _role(each), *numbers, each.version, each.problem or "<none>"])
    sys.stdout.write(columns.flush())
    if not any(each.leader for each in found):
        raise CommandError("no leader is known: no write can happen until a majority of the voters is back")


@raft.command("members")
@_endpoints
@_output
@verb
async def members(session: Session, endpoints: str, output: str) -> None:
    """List the replicas with their addresses."""
    from ..output.tabwriter import Columns

    found = await members_of(session, endpoints)
    if output == "json":
        session.say(_as_json(found))
        return
    columns = Columns()
    columns.add(["NAME", "ID", "ROLE", "PEER", "CLIENT"])
    for each in found:
        columns.add([each.name, each.shown_id, _role(each), each.peer, each.client])
    sys.stdout.write(columns.flush())


async def print_usage(session: Session, endpoints: str) -> None:
    """What `top raft` shows."""
    from ..output.tabwriter import Columns

    found = await members_of(session, endpoints)
    newest = max((each.applied for each in found), default=0)
    columns = Columns()
    columns.add(["NAME", "ROLE", "APPLIED", "BEHIND", "REVISION", "SIZE", "USED"])
    for each in found:
        sizes = [f"{size / (1 << 20):.1f}Mi" for size in (each.size_bytes, each.used_bytes)]
        behind = "<unknown>" if each.problem and not each.version else str(newest - each.applied)
        columns.add([each.name, _role(each), str(each.applied), behind, str(each.revision), *sizes])
    sys.stdout.write(columns.flush())


# --- changes ----------------------------------------------------------------------------------------


def _member(face: EtcdFace, name: str) -> Any:
    """By its name, or its id in hexadecimal. Raises CommandError."""
    found = [each for each in face.members() if name in (each.name, f"{each.ID:016x}", f"{each.ID:x}")]
    if len(found) != 1:
        known = ", ".join(sorted(each.name or f"{each.ID:016x}" for each in face.members()))
        raise CommandError(f"there is no replica {name!r} (there is: {known})")
    return found[0]


@raft.command("add")
@click.argument("peer")
@switch("--learner", default=True, help="Without a vote, until it has caught up.")
@_endpoints
@verb
async def add(session: Session, peer: str, learner: bool, endpoints: str) -> None:
    """Let a replica at HOST:PORT (its peer port) become a member."""
    host, colon, port = peer.removeprefix("https://").rpartition(":")
    if not colon or not host or not port.isdigit():
        raise CommandError(f"{peer!r} is no address of a peer port: HOST:PORT is needed")

    def ask() -> str:
        with _open(session, endpoints) as face:
            answer = face.add(f"{host}:{port}", learner=learner)
            return f"{answer.member.ID:016x}"

    session.say(f"replica {await asyncio.to_thread(ask)} added{' as a learner' if learner else ''}")


@raft.command("remove")
@click.argument("name")
@_endpoints
@verb
async def remove(session: Session, name: str, endpoints: str) -> None:
    """Take a replica, by name or id, out of the group. It cannot come back with its data."""

    def ask() -> None:
        with _open(session, endpoints) as face:
            face.remove(_member(face, name).ID)

    await asyncio.to_thread(ask)
    session.say(f"replica {name} removed")


@raft.command("promote", hidden=True)
@click.argument("name")
@_endpoints
@verb
async def promote(session: Session, name: str, endpoints: str) -> None:
    """Give a learner its vote."""

    def ask() -> None:
        with _open(session, endpoints) as face:
            face.promote(_member(face, name).ID)

    await asyncio.to_thread(ask)
    session.say(f"replica {name} promoted")


@raft.command("transfer")
@click.argument("name")
@_endpoints
@verb
async def transfer(session: Session, name: str, endpoints: str) -> None:
    """Let a replica, by name or id, lead."""

    def ask() -> str:
        with _open(session, endpoints) as face:
            wanted, leader = _member(face, name), face.status().leader
            if leader == wanted.ID:
                return "leads already"
            _ask_leader(face, leader, wanted.ID)
            return "leads"

    def _ask_leader(face: EtcdFace, leader: int, wanted: int) -> None:
        """Only the leader can hand over."""
        from ..cluster.etcd_face import EtcdFace as Face

        if face.status().header.member_id == leader:
            face.transfer(wanted)
            return
        for each in face.members():
            if leader == each.ID and each.clientURLs:
                with Face(each.clientURLs[0].removeprefix("https://"), session.access) as other:
                    other.transfer(wanted)
                return
        raise CommandError("the leader cannot be reached: name its etcd face with --endpoints")

    session.say(f"replica {name} {await asyncio.to_thread(ask)}")


@raft.command("compact")
@click.argument("revision", type=int, required=False)
@switch("--physical", help="Come back when the space is free.")
@_endpoints
@verb
async def compact(session: Session, revision: int | None, physical: bool, endpoints: str) -> None:
    """Forget history before a revision; before the newest one when none is named."""

    def ask() -> int:
        with _open(session, endpoints) as face:
            wanted = face.status().header.revision if revision is None else revision
            face.compact(wanted, physical=physical)
            return int(wanted)

    session.say(f"compacted revision {await asyncio.to_thread(ask)}")


@raft.command("snapshot")
@click.argument("file", type=click.Path(path_type=Path))
@_endpoints
@verb
async def snapshot(session: Session, file: Path, endpoints: str) -> None:
    """Write a copy of everything to FILE, which only its owner may read."""

    def ask() -> int:
        part = file.with_name(f"{file.name}.part")
        size = 0
        try:
            with _open(session, endpoints) as face, open(_new(part), "wb") as out:
                for chunk in face.snapshot():
                    out.write(chunk)
                    size += len(chunk)
                out.flush()
                os.fsync(out.fileno())
            part.replace(file)
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}") from None
        finally:
            part.unlink(missing_ok=True)
        return size

    session.say(f"{await asyncio.to_thread(ask)} bytes written to {file}: check it with `kmini snapshot verify {file}`")


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
