"""Which gRPC code and text a client gets for which error of the store.

etcd's client libraries recognise errors by their text, so where etcd has the error its words and code are
used to the letter; the table below is that list. An error etcd does not know keeps the store's own message
behind "etcdserver: ". What must always hold: an indefinite error never gets a code and text that a client
library takes for safe to retry (clientv3 repeats a write only when it found no address to send it to).
"""

from __future__ import annotations

from typing import NamedTuple

import grpc

from .. import errors


class Status(NamedTuple):
    """A gRPC code and the text that goes with it."""

    code: grpc.StatusCode
    text: str


_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

EMPTY_KEY = Status(_INVALID, "etcdserver: key is not provided")
EMPTY_OPERATION = Status(_INVALID, "etcdserver: key not found")  # etcd's answer to an operation of no kind
VALUE_PROVIDED = Status(_INVALID, "etcdserver: value is provided")
LEASE_PROVIDED = Status(_INVALID, "etcdserver: lease is provided")
REQUEST_TOO_LARGE = Status(_INVALID, "etcdserver: request is too large")
BAD_URLS = Status(_INVALID, "etcdserver: given member URLs are invalid")
COMPACTED = Status(grpc.StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")
NOT_LEADER = Status(_PRECONDITION, "etcdserver: not leader")
BAD_TRANSFEREE = Status(_PRECONDITION, "etcdserver: bad leader transferee")
NO_LEADER = Status(_UNAVAILABLE, "etcdserver: no leader")
LEADER_FAILED = Status(_UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure")
DUPLICATE_WATCH = "mvcc: duplicate watch ID provided on the WatchStream"
PERMISSION_DENIED = Status(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")
NOT_LEARNER = Status(_PRECONDITION, "etcdserver: can only promote a learner member")

#: Looked up along the error's classes, the nearest first.
_TABLE: dict[type[errors.StoreError], Status] = {
    errors.RequestTooLarge: REQUEST_TOO_LARGE,
    errors.TooManyOperations: Status(_INVALID, "etcdserver: too many operations in txn request"),
    errors.DuplicateKey: Status(_INVALID, "etcdserver: duplicate key given in txn request"),
    errors.KeyNotFound: Status(_INVALID, "etcdserver: key not found"),
    errors.Compacted: COMPACTED,
    errors.FutureRevision: Status(
        grpc.StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"
    ),
    errors.LeaseNotFound: Status(grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found"),
    errors.LeaseExists: Status(_PRECONDITION, "etcdserver: lease already exists"),
    errors.LeaseTTLTooLarge: Status(grpc.StatusCode.OUT_OF_RANGE, "etcdserver: too large lease TTL"),
    errors.NoSpace: Status(_EXHAUSTED, "etcdserver: mvcc: database space exceeded"),
    errors.TooManyRequests: Status(_EXHAUSTED, "etcdserver: too many requests"),
    errors.CorruptAlarm: Status(grpc.StatusCode.DATA_LOSS, "etcdserver: corrupt cluster"),
    errors.NoLeader: NO_LEADER,
    errors.NotLeader: NOT_LEADER,
    errors.Stopped: Status(_UNAVAILABLE, "etcdserver: server stopped"),
    errors.Timeout: Status(_UNAVAILABLE, "etcdserver: request timed out"),
    errors.OutcomeUnknown: LEADER_FAILED,
    errors.MemberExists: Status(_PRECONDITION, "etcdserver: Peer URLs already exists"),
    errors.MemberNotFound: Status(grpc.StatusCode.NOT_FOUND, "etcdserver: member not found"),
    errors.ChangeInProgress: Status(_UNAVAILABLE, "etcdserver: unhealthy cluster"),
    errors.LearnerNotReady: Status(
        _PRECONDITION, "etcdserver: can only promote a learner member which is in sync with leader"
    ),
    errors.TooFewConnected: Status(
        _PRECONDITION, "etcdserver: re-configuration failed due to not enough started members"
    ),
    errors.LastVoter: Status(_PRECONDITION, "etcdserver: re-configuration failed due to not enough started members"),
}

#: The code of errors etcd has no words for.
_OWN_WORDS: dict[type[errors.StoreError], grpc.StatusCode] = {
    errors.RequestError: _INVALID,
    errors.CapacityError: _EXHAUSTED,
    errors.UnavailableError: _UNAVAILABLE,
    errors.MembershipError: _PRECONDITION,
    errors.Removed: _UNAVAILABLE,  # this replica's trouble, not the cluster's: clients turn to another
    errors.IntegrityError: _UNAVAILABLE,
    errors.StoreError: grpc.StatusCode.UNKNOWN,
}


def status_of(error: errors.StoreError) -> Status:
    """The answer for an error of the store."""
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
        if kind in _OWN_WORDS:
            return Status(_OWN_WORDS[kind], f"etcdserver: {error.message}")
    raise AssertionError(f"{type(error).__name__} is outside the tree")  # StoreError itself is in the tables


class Refused(Exception):
    """A request the face refuses itself, before the store sees it."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.text)
        self.status = status
