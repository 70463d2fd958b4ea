"""Errors leave with etcd's words, and none that may have happened invites a retry."""

from __future__ import annotations

import grpc
import pytest

from raftstore import errors
from raftstore.etcd.status import status_of


def all_errors(kind: type[errors.StoreError] = errors.StoreError) -> list[type[errors.StoreError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in all_errors(child))]


def make(kind: type[errors.StoreError]) -> errors.StoreError:
    if issubclass(kind, errors.WatchCanceled):
        return kind("what happened", resume_revision=1)
    return kind("what happened")


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_has_a_status_that_is_not_ok(kind: type[errors.StoreError]) -> None:
    found = status_of(make(kind))
    assert found.code is not grpc.StatusCode.OK
    assert found.text.startswith("etcdserver: ")


@pytest.mark.parametrize(
    ("kind", "code", "text"),
    [
        (errors.Compacted, "OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted"),
        (errors.FutureRevision, "OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision"),
        (errors.DuplicateKey, "INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request"),
        (errors.TooManyOperations, "INVALID_ARGUMENT", "etcdserver: too many operations in txn request"),
        (errors.RequestTooLarge, "INVALID_ARGUMENT", "etcdserver: request is too large"),
        (errors.LeaseNotFound, "NOT_FOUND", "etcdserver: requested lease not found"),
        (errors.LeaseExists, "FAILED_PRECONDITION", "etcdserver: lease already exists"),
        (errors.NoSpace, "RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded"),
        (errors.NoLeader, "UNAVAILABLE", "etcdserver: no leader"),
        (errors.NotLeader, "FAILED_PRECONDITION", "etcdserver: not leader"),
        (errors.Timeout, "UNAVAILABLE", "etcdserver: request timed out"),
        (errors.CorruptAlarm, "DATA_LOSS", "etcdserver: corrupt cluster"),
    ],
)
def test_etcds_own_errors_to_the_letter(kind: type[errors.StoreError], code: str, text: str) -> None:
    found = status_of(make(kind))
    assert (found.code.name, found.text) == (code, text)


def test_an_error_etcd_does_not_know_keeps_its_message() -> None:
    found = status_of(errors.KeyTooLarge("the key has 600 bytes, the limit is 480"))
    assert found == (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: the key has 600 bytes, the limit is 480")


#: clientv3 sends a write again only for these two texts under UNAVAILABLE (isSafeRetryMutableRPC).
RETRIED_BY_CLIENTS = ("there is no address available", "there is no connection available")


def test_no_indefinite_error_invites_a_retry() -> None:
    for kind in all_errors():
        error = make(kind)
        if not error.definite:
            assert status_of(error).text not in RETRIED_BY_CLIENTS


@pytest.mark.parametrize("kind", [errors.Quarantined, errors.StateDamaged, errors.Removed, errors.Stopped])
def test_the_trouble_of_one_replica_sends_clients_to_another(kind: type[errors.StoreError]) -> None:
    assert status_of(make(kind)).code is grpc.StatusCode.UNAVAILABLE
