"""What can go wrong in the store, and whether it happened.

Every error a client can see says `definite`: True means the request did not take effect and never
will, False means it may have. Nothing in kmini re-sends a request after an indefinite error, but for
the store's own forwarding under the same (session, sequence), which is applied at most once.

    StoreError
    +-- RequestError                  the request itself is wrong; the same request fails again
    |   +-- InvalidRequest            a field has no meaning here (named in the message)
    |   +-- KeyTooLarge, RequestTooLarge, TooManyOperations, DuplicateKey
    |   +-- Compacted, FutureRevision
    |   +-- KeyNotFound               ignore_value or ignore_lease on a key that is not there
    |   +-- LeaseNotFound, LeaseExists, LeaseTTLTooLarge
    |   +-- UnknownKind               a command kind that not every member announces
    +-- CapacityError                 a bound was hit; try again later
    |   +-- NoSpace                   the quota's hard limit
    |   +-- TooManyRequests           a queue is full
    |   +-- CorruptAlarm              replicas differ and no majority agrees
    +-- UnavailableError              no answer now
    |   +-- NoLeader, NotLeader, Stopped
    |   +-- Timeout                   (indefinite for writes)
    |   +-- OutcomeUnknown            (indefinite) the proposal may still be applied
    |   +-- SessionExpired            the session was forgotten; this proposal was refused
    +-- MembershipError
    |   +-- MemberExists, MemberNotFound, ChangeInProgress, LearnerNotReady, LastVoter,
    |   |   TooFewConnected
    |   +-- Removed                   this replica was removed from the cluster
    |   +-- WrongCluster              the peer belongs to another cluster
    +-- IntegrityError                the disk or the state cannot be trusted
    |   +-- JournalDamaged, SnapshotDamaged, StateDamaged
    |   +-- Quarantined               this replica's state differs from the majority's
    |   +-- UnknownFormat             written by a version this one does not know
    +-- WatchCanceled                 carries the revision to resume from
        +-- WatchCompacted            (also a Compacted)
        +-- SlowWatcher
"""

from __future__ import annotations


class StoreError(Exception):
    """Root of the tree. `definite` is a class default that an instance may override."""

    definite: bool = True

    def __init__(self, message: str, *, definite: bool | None = None) -> None:
        super().__init__(message)
        if definite is not None:
            self.definite = definite

    @property
    def message(self) -> str:
        return str(self.args[0])


class RequestError(StoreError):
    """The request can never succeed as it stands."""


class InvalidRequest(RequestError):
    """A field or a combination of fields has no meaning."""


class KeyTooLarge(RequestError):
    """The key is longer than the state's index can hold."""


class RequestTooLarge(RequestError):
    """The encoded request passes the request limit."""


class TooManyOperations(RequestError):
    """A transaction holds more operations than the limit."""


class DuplicateKey(RequestError):
    """A transaction writes one key twice."""


class Compacted(RequestError):
    """The revision asked for is below the compacted one."""


class FutureRevision(RequestError):
    """The revision asked for has not happened yet."""


class KeyNotFound(RequestError):
    """ignore_value or ignore_lease names a key that does not exist."""


class LeaseNotFound(RequestError):
    """No such lease."""


class LeaseExists(RequestError):
    """A lease of this id exists already."""


class LeaseTTLTooLarge(RequestError):
    """The time to live passes the limit."""


class UnknownKind(RequestError):
    """A member does not announce the command kind; upgrade it first."""


class CapacityError(StoreError):
    """A bound was hit; the same request may succeed later."""


class NoSpace(CapacityError):
    """The state passed its quota; only deletes, compaction and lease revokes are taken."""


class TooManyRequests(CapacityError):
    """A queue is full."""


class CorruptAlarm(CapacityError):
    """Replicas differ and no majority agrees: writes are stopped."""


class UnavailableError(StoreError):
    """No answer can be given now."""


class NoLeader(UnavailableError):
    """No leader is known."""


class NotLeader(UnavailableError):
    """The request needs the leader and this replica is not it."""


class Stopped(UnavailableError):
    """The store is shutting down or has stopped."""


class Timeout(UnavailableError):
    """The deadline passed. Indefinite for a write that was proposed."""


class OutcomeUnknown(UnavailableError):
    """The proposal was sent and its fate cannot be learned."""

    definite = False


class SessionExpired(UnavailableError):
    """The session was forgotten by the replicated table; the proposal was refused."""


class MembershipError(StoreError):
    """A membership change is refused, or this replica is not a member."""


class MemberExists(MembershipError):
    """A member of this name, id or address exists."""


class MemberNotFound(MembershipError):
    """No such member."""


class ChangeInProgress(MembershipError):
    """Another membership change is not committed yet; one at a time."""


class LearnerNotReady(MembershipError):
    """The learner has not caught up yet."""


class LastVoter(MembershipError):
    """The last voter cannot be removed."""


class TooFewConnected(MembershipError):
    """Without the member the voters that are connected would be no majority."""


class Removed(MembershipError):
    """This replica was removed from the cluster; its data directory is of no further use."""


class WrongCluster(MembershipError):
    """The peer belongs to another cluster."""


class IntegrityError(StoreError):
    """The disk or the state cannot be trusted; the message names the command that mends it."""


class JournalDamaged(IntegrityError):
    """A journal record is bad though all its sectors were written."""


class SnapshotDamaged(IntegrityError):
    """A snapshot's digest or format does not hold."""


class StateDamaged(IntegrityError):
    """The state file cannot be opened or contradicts the journal."""


class Quarantined(IntegrityError):
    """This replica's state differs from the majority's and is being replaced."""


class UnknownFormat(IntegrityError):
    """A file or frame of a format version that this version does not know."""


class WatchCanceled(StoreError):
    """The watch ended; `resume_revision` is the next one to ask for, `compact_revision` the floor."""

    def __init__(self, message: str, *, resume_revision: int, compact_revision: int = 0) -> None:
        super().__init__(message)
        self.resume_revision = resume_revision
        self.compact_revision = compact_revision


class WatchCompacted(WatchCanceled, Compacted):
    """The revision to start from is compacted."""


class SlowWatcher(WatchCanceled):
    """The watcher's buffer was full."""
