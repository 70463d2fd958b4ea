"""The words between a replica without an identity and the members of a cluster.

    found.probe/prepare/accept/decided   → found.present/promise/accepted/differs      (founding.py)
    any found.*, asked of a member       → found.exists    {configuration}
    join.request  {from}                 → join.accepted   {configuration}             done, by the leader
                                         → join.redirect   {address}                   the leader is there
                                         → join.wait       {reason, conflict}          ask again later
                                         → join.refused    {reason}                    never
    join.check    {from}                 → join.standing   {standing}                  by the leader; or redirect, wait

A member answers `found.*` from its present configuration and `join.*` through its leader, which goes from
step to step of `membership.next_join_step`, one committed change at a time.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..identity import PeerIdentity
from .engine import Configuration, Member, Message

Standing = Literal["voter", "learner", "unknown"]


class MalformedMessage(Exception):
    """A question or answer that lacks what it needs; it is dropped and counted."""


def exists(configuration: Configuration) -> Message:
    return {"type": "found.exists", "configuration": msgspec.to_builtins(configuration)}


def join_request(own: Member) -> Message:
    return {"type": "join.request", "from": write_member(own)}


def join_check(own: Member) -> Message:
    return {"type": "join.check", "from": write_member(own)}


def accepted(configuration: Configuration) -> Message:
    return {"type": "join.accepted", "configuration": msgspec.to_builtins(configuration)}


def redirect(address: str) -> Message:
    return {"type": "join.redirect", "address": address}


def wait(reason: str, *, conflict: bool = False) -> Message:
    """`conflict`: another member has this name or address; it may be gone soon, or it is a mistake."""
    return {"type": "join.wait", "reason": reason, "conflict": conflict}


def refused(reason: str) -> Message:
    return {"type": "join.refused", "reason": reason}


def standing(configuration: Configuration, member_id: int) -> Message:
    """By the leader, from a configuration it has just confirmed by a read index."""
    found: Standing = "unknown"
    if member_id in configuration.voters:
        found = "voter"
    elif member_id in configuration.learners:
        found = "learner"
    return {"type": "join.standing", "standing": found}


def sender_of(question: Message, asker: PeerIdentity) -> Member:
    """The replica a question speaks for. Raises MalformedMessage when its certificate is another member's."""
    member = read_member(question.get("from"))
    if member.id != asker.member_id:
        raise MalformedMessage(f"{asker.uri} speaks for member {member.id:016x}")
    return member


def write_member(member: Member) -> list[Any]:
    fields: list[Any] = msgspec.to_builtins(member)
    return fields


def read_member(value: Any) -> Member:
    """Raises MalformedMessage."""
    try:
        return msgspec.convert(value, Member)
    except msgspec.ValidationError as error:
        raise MalformedMessage(f"not a member: {error}") from error


def read_configuration(value: Any) -> Configuration:
    """Raises MalformedMessage."""
    try:
        configuration = msgspec.convert(value, Configuration)
    except msgspec.ValidationError as error:
        raise MalformedMessage(f"not a configuration: {error}") from error
    if configuration.cluster_id <= 0 or not configuration.voters:
        raise MalformedMessage("a configuration without cluster or voters")
    return configuration
