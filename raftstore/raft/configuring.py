"""Which configuration is in force, and with whom connections are kept while it changes.

The latest configuration in the log is in force from the moment it is appended (thesis §4.1), committed or
not, and the one before it again when it is cut off. What a change of voters means for the core is the
node's business; here is only what the log says.
"""

from __future__ import annotations

import msgspec

from ..errors import ChangeInProgress, InvalidRequest, LastVoter, NotLeader
from .context import Context
from .engine import Configuration, Member, Message, Wire
from .messages import members_of


class Configuring:
    def __init__(self, context: Context, wire: Wire) -> None:
        self._context = context
        self._wire = wire
        self.was_member = False
        self._heard_index = 0
        self._heard: tuple[Member, ...] = ()

    def start(self) -> None:
        self.adopt()
        self.was_member = self._listed_for_real()

    def committed(self) -> Configuration:
        journal = self._context.journal
        return journal.configuration_at(max(journal.base_index, min(self._context.delivered, journal.last_index)))

    def in_force(self) -> tuple[int, Configuration]:
        context = self._context
        return context.guard.configuration_in_force(context.journal.configuration(), self.committed())

    def adopt(self) -> None:
        self._context.adopt(*self.in_force())

    @property
    def is_removed(self) -> bool:
        return self.was_member and self._context.configuration.member(self._context.member_id) is None

    def _listed_for_real(self) -> bool:
        """Whether the log's base knows this replica: a founder, or a snapshot that lists it.

        A joining replica's first base is what it was told, itself a learner; it then replays a history that
        does not know it yet, which must not be taken for its removal.
        """
        journal = self._context.journal
        base = journal.base_configuration.member(self._context.member_id)
        return base is not None and (not base.learner or journal.base_index > 1)

    def tell_wire(self) -> None:
        """Keep connections to everybody of the configuration in force and of the committed one.

        An uncommitted change may be undone by a leader that it removes, so that one must still get through
        (§4.1: a server takes entries from a leader that is not in its configuration). A joining replica replays
        configurations of before the leader's time: until one lists it, whom it was told of counts too. And one
        that was away may never hear of the member that leads now but from other members (`heard`).
        """
        known = {member.id: member for member in self.committed().members}
        if self._heard_index > self._context.delivered:
            known |= {member.id: member for member in self._heard}
        if not self.was_member:
            known |= {member.id: member for member in self._context.journal.base_configuration.members}
        known |= {member.id: member for member in self._context.configuration.members}
        self._wire.set_members(tuple(known.values()))

    def news(self) -> Message:
        """What this replica knows to be committed, for a peer that may have been away."""
        journal = self._context.journal
        index, configuration = journal.configured_at(
            max(journal.base_index, min(self._context.delivered, journal.last_index))
        )
        return {"type": "members", "index": index, "members": msgspec.to_builtins(configuration.members)}

    def heard(self, message: Message) -> None:
        """A member tells of a configuration committed beyond what this replica was handed: let its members in.

        For the list of connections only: votes and commits go by the log's own configuration.
        """
        members = members_of(message)
        if members is not None and message["index"] > max(self._heard_index, self._context.delivered):
            self._heard_index, self._heard = message["index"], members
            self.tell_wire()

    def committed_at(self, index: int) -> tuple[Configuration, bool]:
        """The configuration committed at `index`, and whether it says that this replica was removed."""
        context = self._context
        configuration = context.journal.configuration_at(index)
        listed = configuration.member(context.member_id) is not None
        self.was_member = self.was_member or listed
        self.tell_wire()
        return configuration, self.was_member and not listed and context.configuration_index <= index

    def check_change(self, configuration: Configuration) -> None:
        """Raises NotLeader, ChangeInProgress, LastVoter, InvalidRequest."""
        context, core = self._context, self._context.core
        if not core.is_leader:
            raise NotLeader("only the leader changes the configuration")
        commit_term = context.journal.term_at(core.commit_index)
        if not context.guard.change_allowed(context.configuration_index, core.commit_index, commit_term, core.term):
            raise ChangeInProgress("another membership change, or this leader's first entry, is not committed yet")
        if not configuration.voters:
            raise LastVoter("the last voter cannot be removed")
        if not context.guard.one_voter_differs(context.configuration, configuration):
            raise InvalidRequest("a configuration change may add, promote or remove one voter at a time")
