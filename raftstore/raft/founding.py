"""How empty replicas agree on exactly one new cluster: single-decree Paxos over the names of a list.

Every replica is given the same list (names → addresses) and draws a member id. Once a majority of the list
is there and empty, one of them proposes a founding document: a random cluster id and the members present.
Whoever was not there joins later. A replica that hears of a cluster that exists joins it and never founds.

What must hold (checked by a property test over lost, doubled, reordered messages and crashes): no two
replicas ever come to different documents. A promise or an acceptance is durable before it is answered, a
ballot before it is used, the knowledge of an existing cluster before it is acted upon: `Actions.save`
comes first, always.

What cannot hold: a list member that loses its disk *while* the cluster is being founded has forgotten its
promise, and a majority that consists of such members only can found a second cluster. Nobody can tell
them from new ones.

Pure: no clock, no chance, no I/O but what is passed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from ..errors import InvalidRequest, MembershipError
from ..limits import CLUSTER_LIST_MAX
from .addresses import split_address
from .engine import Configuration, Member, Message
from .joining import MalformedMessage, exists, read_configuration, read_member, write_member


class Ballot(NamedTuple):
    """Compared by round, then by the proposer's member id: no two proposers share one."""

    round: int
    proposer: int


NO_BALLOT = Ballot(0, 0)
ANSWER_S_MAX = 8.0  # nobody waits longer for one
_ANSWERS_A_ROUND = 3  # two phases, and one for those who are slower than the rest
_SLOW_KEPT = 0.9  # of what the slowest answer took, when the next is faster


class FoundingState(msgspec.Struct, frozen=True, kw_only=True):
    """What a founding replica must not forget (founding_file.py keeps it)."""

    member_id: int
    list_digest: str
    promised: Ballot = NO_BALLOT
    accepted_ballot: Ballot = NO_BALLOT
    accepted: Configuration | None = None
    joins: Configuration | None = None  # a cluster exists: never found one

    @property
    def took_part(self) -> bool:
        return self.promised != NO_BALLOT


class FoundingTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals of founding, in seconds, where answers come at once.

    Where they take long, all but the wait for the whole list and the names' turns grow with a founder's patience.
    """

    probe_every_s: float = 0.1
    wait_for_all_s: float = 0.3  # after a majority is there, for the rest of the list
    stagger_s: float = 0.3  # between the names' turns to propose, so that they rarely compete
    round_s: float = 1.0  # a ballot that has not won by then is given up
    presence_s: float = 2.0  # heard within this: is there


class Actions(NamedTuple):
    """Make `save` durable, then send, then act on the outcome."""

    save: FoundingState | None
    sends: list[tuple[str, Message]]  # (name in the list, question)


class Outcome(NamedTuple):
    """The cluster this replica belongs to from now on."""

    configuration: Configuration
    member: bool  # True: it lists this replica, which starts at once; False: join it first


def check_list(initial_cluster: Mapping[str, str], name: str) -> None:
    """Raises InvalidRequest when no cluster can be founded with this list."""
    if name not in initial_cluster:
        raise InvalidRequest(f"initial cluster does not hold this replica's name {name!r}")
    if len(initial_cluster) > CLUSTER_LIST_MAX:
        raise InvalidRequest(f"initial cluster has {len(initial_cluster)} names, at most {CLUSTER_LIST_MAX}")
    if len(set(initial_cluster.values())) != len(initial_cluster):
        raise InvalidRequest("initial cluster holds one address twice")
    for listed, address in initial_cluster.items():
        try:
            split_address(address)
        except ValueError as error:
            raise InvalidRequest(f"initial cluster, {listed!r}: {error}") from error


def list_digest(initial_cluster: Mapping[str, str]) -> str:
    """Equal exactly for equal lists, whatever their order."""
    text = "\n".join(f"{name}={address}" for name, address in sorted(initial_cluster.items()))
    return hashlib.sha256(text.encode()).hexdigest()


class Founder:
    """One replica's part in founding. The owner calls `tick` often and carries out every `Actions`.

    `outcome` is set once, and only acted upon when the actions returned with it are carried out.
    """

    def __init__(
        self,
        own: Member,
        initial_cluster: Mapping[str, str],
        state: FoundingState,
        *,
        random: Callable[[], float],
        random_id: Callable[[], int],
        timing: FoundingTiming | None = None,
    ) -> None:
        """Raises InvalidRequest for the list, MembershipError when `state` is of another list's founding."""
        check_list(initial_cluster, own.name)
        digest = list_digest(initial_cluster)
        if state.list_digest != digest:
            if state.took_part and state.joins is None:
                raise MembershipError(
                    "this replica took part in founding a cluster with another initial cluster list: start it with "
                    "that list, or remove its data directory if no replica of that list has ever started"
                )
            state = msgspec.structs.replace(state, list_digest=digest)
        self.state = state
        self.outcome: Outcome | None = None
        self.disagreements: dict[str, str] = {}  # name → why it does not count, for people
        self._own = own
        self._names = sorted(initial_cluster)
        self._majority = len(self._names) // 2 + 1
        self._random, self._random_id = random, random_id
        self._timing = timing or FoundingTiming()
        self._unsaved = True  # also the first state: the member id must outlive a crash
        self._heard: dict[str, tuple[Member, float]] = {}
        self._highest_round = state.promised.round
        self._next_probe = 0.0
        self._majority_since: float | None = None
        self._not_before = 0.0
        self._ballot: Ballot | None = None  # our own, while it is open
        self._ballot_ends = 0.0
        self._value: Configuration | None = None  # set in its second phase
        self._best: tuple[Ballot, Configuration] | None = None
        self._granted: set[str] = set()
        self._answer_s = 0.0  # what answers take here, the slowest of late
        if state.joins is not None:
            self._end(state.joins)

    # --- what the owner calls -------------------------------------------------------------------------

    def tick(self, now: float) -> Actions:
        sends: list[tuple[str, Message]] = []
        if self.outcome is None:
            self._watch_presence(now)
            if self._ballot is not None and now >= self._ballot_ends:
                self._give_up(now)
            if self._ballot is None and self._may_propose(now):
                sends += self._prepare(now)
            if now >= self._next_probe:
                self._next_probe = now + self._timing.probe_every_s * self._patience
                sends += self._to_all(self._question("found.probe"))
        return self._actions(sends)

    def answer(self, question: Message, now: float) -> tuple[Actions, Message]:
        """Another replica's question; the answer leaves only when the actions are carried out.

        Raises MalformedMessage.
        """
        sender = read_member(question.get("from"))
        if self.outcome is not None:
            return self._actions([]), exists(self.outcome.configuration)
        why = self._disagreement(sender, question)
        if why is not None:
            return self._actions([]), self._question("found.differs") | {"reason": why}
        self._heard[sender.name] = (sender, now)
        kind = question["type"]
        if kind == "found.prepare":
            answer = self._promise(_ballot(question))
        elif kind == "found.accept":
            answer = self._accept(_ballot(question), read_configuration(question.get("value")))
        elif kind == "found.decided":
            self._end(read_configuration(question.get("value")))
            answer = self._question("found.present")
        elif kind == "found.probe":
            answer = self._question("found.present")
        else:
            raise MalformedMessage(f"no question of founding: {kind!r:.40}")
        return self._actions([]), answer

    def receive(self, answer: Message, asked: float, now: float) -> Actions:
        """The answer to a question that we asked then, however late. Raises MalformedMessage."""
        if self.outcome is not None:
            return self._actions([])
        kind = answer["type"]
        if kind == "found.exists":
            self._end(read_configuration(answer.get("configuration")))
            return self._actions([])
        sender = read_member(answer.get("from"))
        why = self._disagreement(sender, answer)
        if why is None and kind == "found.differs":
            why = f"{answer.get('reason')!s:.200}"
        if why is not None:
            self.disagreements[sender.name[:64]] = why
            return self._actions([])
        self._answer_s = max(min(now - asked, ANSWER_S_MAX), self._answer_s * _SLOW_KEPT)
        self.disagreements.pop(sender.name, None)
        self._heard[sender.name] = (sender, now)
        sends: list[tuple[str, Message]] = []
        if kind == "found.promise":
            sends = self._heard_promise(sender.name, answer, now)
        elif kind == "found.accepted":
            sends = self._heard_accepted(sender.name, answer, now)
        return self._actions(sends)

    # --- who is there -----------------------------------------------------------------------------------

    def _disagreement(self, sender: Member, message: Message) -> str | None:
        if message.get("list") != self.state.list_digest:
            return f"replica {sender.name!r:.80} has another initial cluster list than {self._own.name!r}"
        if sender.name not in self._names:
            return f"replica {sender.name!r:.80} is not in the initial cluster list"
        if sender.name == self._own.name:
            return f"two replicas run under the name {sender.name!r}"
        return None

    def _present(self, now: float) -> list[Member]:
        """Everybody of the list that was heard lately, this replica included, by name."""
        others = [member for member, at in self._heard.values() if now - at <= self._timing.presence_s * self._patience]
        return sorted([*others, self._own], key=lambda member: member.name)

    def _watch_presence(self, now: float) -> None:
        if len(self._present(now)) < self._majority:
            self._majority_since = None
        elif self._majority_since is None:
            self._majority_since = now

    def _may_propose(self, now: float) -> bool:
        if self._majority_since is None or now < self._not_before:
            return False
        present = [member.name for member in self._present(now)]
        wait_s = 0.0 if len(present) == len(self._names) else self._timing.wait_for_all_s
        return now >= self._majority_since + wait_s + present.index(self._own.name) * self._timing.stagger_s

    # --- proposing --------------------------------------------------------------------------------------

    def _prepare(self, now: float) -> list[tuple[str, Message]]:
        """Phase 1. Our own promise counts too and is saved first: a ballot is never used twice."""
        self._highest_round += 1
        ballot = Ballot(self._highest_round, self.state.member_id)
        self._ballot, self._ballot_ends = ballot, now + self._timing.round_s * self._patience
        self._value = None
        self._best = (self.state.accepted_ballot, self.state.accepted) if self.state.accepted is not None else None
        self._granted = {self._own.name}
        self._keep(promised=ballot)
        if self._majority == 1:
            return self._propose(now)
        return self._to_all(self._question("found.prepare") | {"ballot": list(ballot)})

    def _heard_promise(self, name: str, answer: Message, now: float) -> list[tuple[str, Message]]:
        if not self._is_granted(answer, now) or self._value is not None:
            return []
        accepted = answer.get("accepted")
        if accepted is not None:
            ballot, value = _ballot(answer, "accepted_ballot"), read_configuration(accepted)
            if self._best is None or ballot > self._best[0]:
                self._best = (ballot, value)
        self._granted.add(name)
        return self._propose(now) if len(self._granted) >= self._majority else []

    def _propose(self, now: float) -> list[tuple[str, Message]]:
        """Phase 2: what may have been decided already, and only else a document of our own."""
        ballot = self._ballot
        assert ballot is not None
        if self.state.promised > ballot:
            self._give_up(now)
            return []
        self._value = self._best[1] if self._best is not None else self._new_document(now)
        self._granted = {self._own.name}
        self._keep(promised=ballot, accepted_ballot=ballot, accepted=self._value)
        if self._majority == 1:
            self._end(self._value)
            return []
        fields = {"ballot": list(ballot), "value": msgspec.to_builtins(self._value)}
        return self._to_all(self._question("found.accept") | fields)

    def _heard_accepted(self, name: str, answer: Message, now: float) -> list[tuple[str, Message]]:
        if not self._is_granted(answer, now) or self._value is None:
            return []
        self._granted.add(name)
        if len(self._granted) < self._majority:
            return []
        value = self._value
        self._end(value)
        return self._to_all(self._question("found.decided") | {"value": msgspec.to_builtins(value)})

    def _is_granted(self, answer: Message, now: float) -> bool:
        """Whether the answer is for our open ballot and in favour of it."""
        asked, promised = _ballot(answer), _ballot(answer, "promised")
        self._highest_round = max(self._highest_round, promised.round)
        if self._ballot is None or asked != self._ballot:
            return False
        if promised > asked:
            self._give_up(now)
            return False
        return True

    def _give_up(self, now: float) -> None:
        """Somebody else is at it, or answers were lost: try again, not in step with others."""
        self._ballot = self._value = None
        pause_s = self._timing.stagger_s * self._patience * (0.5 + len(self._names) * self._random())
        self._not_before = now + pause_s

    def _new_document(self, now: float) -> Configuration:
        return Configuration(self._random_id(), tuple(self._present(now)))

    # --- accepting --------------------------------------------------------------------------------------

    def _promise(self, ballot: Ballot) -> Message:
        self._highest_round = max(self._highest_round, ballot.round)
        if ballot > self.state.promised:
            self._keep(promised=ballot)
        return self._question("found.promise") | {
            "ballot": list(ballot),
            "promised": list(self.state.promised),
            "accepted_ballot": list(self.state.accepted_ballot),
            "accepted": None if self.state.accepted is None else msgspec.to_builtins(self.state.accepted),
        }

    def _accept(self, ballot: Ballot, value: Configuration) -> Message:
        self._highest_round = max(self._highest_round, ballot.round)
        if ballot >= self.state.promised:
            self._keep(promised=ballot, accepted_ballot=ballot, accepted=value)
        return self._question("found.accepted") | {"ballot": list(ballot), "promised": list(self.state.promised)}

    # --- how long things take ---------------------------------------------------------------------------

    @property
    def _patience(self) -> float:
        """How many times as long as planned everything may take, so that a round has time for its answers."""
        return max(1.0, _ANSWERS_A_ROUND * self._answer_s / self._timing.round_s)

    # --- helpers ----------------------------------------------------------------------------------------

    def _end(self, configuration: Configuration) -> None:
        if self.outcome is None:
            self._keep(joins=configuration)
            self.outcome = Outcome(configuration, configuration.member(self.state.member_id) is not None)

    def _keep(self, **changes: object) -> None:
        changed = msgspec.structs.replace(self.state, **changes)
        self._unsaved |= changed != self.state
        self.state = changed

    def _actions(self, sends: list[tuple[str, Message]]) -> Actions:
        save = self.state if self._unsaved else None
        self._unsaved = False
        return Actions(save, sends)

    def _question(self, kind: str) -> Message:
        return {"type": kind, "list": self.state.list_digest, "from": write_member(self._own)}

    def _to_all(self, question: Message) -> list[tuple[str, Message]]:
        return [(name, question) for name in self._names if name != self._own.name]


def _ballot(message: Message, field: str = "ballot") -> Ballot:
    value = message.get(field)
    if type(value) is list and len(value) == 2 and all(type(part) is int and 0 <= part < 1 << 63 for part in value):
        return Ballot(*value)
    raise MalformedMessage(f"{field} is no ballot")
