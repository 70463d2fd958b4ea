"""Which configuration follows which: one member at a time, and never to nobody (Raft thesis §4.1-4.3).

Pure functions from a configuration to the next. A single step changes the voters by at most one member, so
the majorities of before and after overlap. New members begin as learners: they catch up without a vote and
cost the cluster nothing while they do. Identity is the member id; a name or an address belongs to one
member at a time. Who applies a step, and when, is the engine's business.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from ..errors import InvalidRequest, LastVoter, LearnerNotReady, MemberExists, MemberNotFound, MembershipError
from ..identity import ID_MAX
from .addresses import split_address
from .engine import Configuration, Member

NAME_LENGTH_MAX = 256
MEMBERS_MAX = 64

#: A learner this close to the leader's last index twice in a row may vote.
CAUGHT_UP_ENTRIES = 64
CAUGHT_UP_CHECKS = 2


def add_learner(configuration: Configuration, member: Member) -> Configuration:
    """Raises MemberExists when its id, name or address is taken, InvalidRequest for a bad field."""
    _check_fields(member)
    for present in configuration.members:
        if present.id == member.id:
            raise MemberExists(f"member id {member.id:016x} is {present.name!r} already")
        if member.name and present.name == member.name:
            raise MemberExists(f"name {member.name!r} belongs to member {present.id:016x}")
        if present.address == member.address:
            raise MemberExists(f"address {member.address} belongs to member {present.id:016x} ({present.name!r})")
    if len(configuration.members) >= MEMBERS_MAX:
        raise MembershipError(f"a cluster has at most {MEMBERS_MAX} members")
    return _with(configuration, (*configuration.members, msgspec.structs.replace(member, learner=True)))


def promote(configuration: Configuration, member_id: int) -> Configuration:
    """A learner becomes a voter. Raises MemberNotFound, and MemberExists when it votes already."""
    member = require(configuration, member_id)
    if not member.learner:
        raise MemberExists(f"member {member_id:016x} ({member.name!r}) votes already")
    return _replace(configuration, msgspec.structs.replace(member, learner=False))


def remove(configuration: Configuration, member_id: int) -> Configuration:
    """Raises MemberNotFound, LastVoter."""
    require(configuration, member_id)
    if configuration.voters == {member_id}:
        raise LastVoter(f"member {member_id:016x} is the last voter: without it nothing can be decided")
    return _with(configuration, tuple(member for member in configuration.members if member.id != member_id))


def update(
    configuration: Configuration,
    member_id: int,
    *,
    name: str | None = None,
    address: str | None = None,
    client_address: str | None = None,
) -> Configuration:
    """A member's name or addresses change; None keeps. Raises MemberNotFound, MemberExists, InvalidRequest."""
    member = require(configuration, member_id)
    changed = msgspec.structs.replace(
        member,
        name=member.name if name is None else name,
        address=member.address if address is None else address,
        client_address=member.client_address if client_address is None else client_address,
    )
    _check_fields(changed)
    for other in configuration.members:
        if other.id != member_id and (
            other.address == changed.address or (changed.name and other.name == changed.name)
        ):
            raise MemberExists(f"name {changed.name!r} or address {changed.address} belongs to member {other.id:016x}")
    return _replace(configuration, changed)


def require(configuration: Configuration, member_id: int) -> Member:
    """Raises MemberNotFound."""
    member = configuration.member(member_id)
    if member is None:
        raise MemberNotFound(f"no member {member_id:016x} in cluster {configuration.cluster_id:016x}")
    return member


def check_step(before: Configuration, after: Configuration) -> None:
    """Whether an engine may go from one to the other in one entry.

    Raises LastVoter when nobody would vote, MembershipError when more than one member differs, when a voter
    would lose its vote without leaving, when a newcomer would vote at once, or for another cluster.
    """
    if before.cluster_id != after.cluster_id:
        raise MembershipError("a configuration never changes its cluster")
    if len({member.id for member in after.members}) != len(after.members):
        raise MembershipError("a member id is there twice")
    if not after.voters:
        raise LastVoter("nobody would be left to vote")
    old = {member.id: member for member in before.members}
    new = {member.id: member for member in after.members}
    differing = [member_id for member_id in old.keys() | new.keys() if old.get(member_id) != new.get(member_id)]
    if len(differing) > 1:
        raise MembershipError(f"one member changes at a time, not {len(differing)}")
    for member_id in differing:
        if member_id in new and not new[member_id].learner and (member_id not in old):
            raise MembershipError(f"member {member_id:016x} must catch up as a learner before it votes")
        if member_id in new and new[member_id].learner and member_id in before.voters:
            raise MembershipError(f"member {member_id:016x} votes: remove it rather than take its vote")


def next_join_step(configuration: Configuration, joining: Member, connected: Container[int]) -> Configuration | None:
    """The next single step that makes `joining` (its id, name and addresses) a member; None when it is one.

    Called by the leader again after each committed step. What stands in the way is removed first: the member
    of that name under another id, which lost its disk, or one announced without a name at that address
    (`etcdctl member add`). `connected` holds the ids that live, the leader's own among them. Raises
    MemberExists when what stands in the way lives, for then the newcomer took its name or address by
    mistake; also LastVoter, InvalidRequest.
    """
    _check_fields(joining)
    if not joining.name:
        raise InvalidRequest("a joining replica needs a name")
    for present in configuration.members:
        if present.id == joining.id or not _stands_in_the_way(present, joining):
            continue
        if present.id in connected or (present.name and present.name != joining.name):
            raise MemberExists(
                f"name {joining.name!r} or address {joining.address} belongs to member {present.id:016x} "
                f"({present.name!r}): give this replica a name and an address of its own, or remove that member first"
            )
        return remove(configuration, present.id)
    present_self = configuration.member(joining.id)
    if present_self is None:
        return add_learner(configuration, joining)
    client_address = joining.client_address or present_self.client_address
    wanted = msgspec.structs.replace(joining, learner=present_self.learner, client_address=client_address)
    if wanted == present_self:
        return None
    return update(configuration, joining.id, name=joining.name, address=joining.address, client_address=client_address)


def _stands_in_the_way(present: Member, joining: Member) -> bool:
    return present.name == joining.name or present.address == joining.address


class CatchUp:
    """When learners may vote: close to the leader at two checks in a row (thesis §4.2.1, in log positions).

    Belongs to one leadership; a new leader begins anew. The caller checks at an interval of its own, so that
    two checks in a row are not one moment looked at twice.
    """

    def __init__(self, entries: int = CAUGHT_UP_ENTRIES, checks: int = CAUGHT_UP_CHECKS) -> None:
        self._entries = entries
        self._checks = checks
        self._close: dict[int, int] = {}

    def check(self, learner: int, match: int, last_index: int) -> bool:
        """Look once. `match`: the index the learner is known to hold. True: it may be promoted now.

        In a short log, close is not enough: one that never acknowledged anything must not become a voter.
        """
        close = last_index - match <= min(self._entries, last_index // 2)
        self._close[learner] = self._close.get(learner, 0) + 1 if close else 0
        return self._close[learner] >= self._checks

    def require(self, learner: int) -> None:
        """For promotion by hand. Raises LearnerNotReady."""
        if self._close.get(learner, 0) < self._checks:
            raise LearnerNotReady(f"learner {learner:016x} has not caught up with the leader yet")

    def forget_all_but(self, learners: frozenset[int]) -> None:
        self._close = {learner: count for learner, count in self._close.items() if learner in learners}


def _check_fields(member: Member) -> None:
    if not 0 < member.id <= ID_MAX:
        raise InvalidRequest(f"member id {member.id} is not in [1, 2**63)")
    if len(member.name) > NAME_LENGTH_MAX:
        raise InvalidRequest(f"a member's name has at most {NAME_LENGTH_MAX} characters")
    try:
        split_address(member.address)
    except ValueError as error:
        raise InvalidRequest(f"peer address of {member.name!r}: {error}") from error


def _replace(configuration: Configuration, changed: Member) -> Configuration:
    return _with(
        configuration, tuple(changed if member.id == changed.id else member for member in configuration.members)
    )


def _with(configuration: Configuration, members: tuple[Member, ...]) -> Configuration:
    return Configuration(configuration.cluster_id, members)
