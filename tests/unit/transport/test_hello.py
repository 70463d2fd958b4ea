"""Greetings: a hello is believed as far as the certificate goes, and certificates are checked both ways."""

from __future__ import annotations

from typing import Any

import pytest

from raftstore.identity import ID_MAX, PeerIdentity
from raftstore.raft.credentials import Refusal, identity_of
from raftstore.raft.hello import Hello, check_peer, read_hello

OWN = PeerIdentity(7, 1)
PEER = PeerIdentity(7, 2)
HELLO = Hello(PEER, "b", 11, 1, frozenset({"p", "d"}))


def test_a_hello_is_read_as_it_was_written() -> None:
    assert read_hello(HELLO.message(), PEER) == HELLO


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "unknown_format"),
        ({"format": None}, "unknown_format"),
        ({"cluster": 8}, "bad_hello"),
        ({"member": 3}, "bad_hello"),
        ({"member": "2"}, "bad_hello"),
        ({"name": b"b"}, "bad_hello"),
        ({"name": "b" * 300}, "bad_hello"),
        ({"kinds": "pd"}, "bad_hello"),
        ({"kinds": ["p", 1]}, "bad_hello"),
        ({"kinds": ["p"] * 2000}, "bad_hello"),
        ({"incarnation": -1}, "bad_hello"),
        ({"incarnation": True}, "bad_hello"),
        ({"generation": 1 << 63}, "bad_hello"),
        ({"generation": None}, "bad_hello"),
    ],
)
def test_a_hello_that_is_not_believed(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_hello(HELLO.message() | change, PEER)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("proven", "dialled", "reason"),
    [
        (PEER, 0, None),
        (PEER, 2, None),
        (PeerIdentity(0, 9), 0, None),  # may ask to join
        (PEER, 3, "wrong_member"),
        (PeerIdentity(8, 2), 2, "wrong_cluster"),
        (PeerIdentity(8, 2), 0, "wrong_cluster"),
        (PeerIdentity(0, 2), 2, "wrong_cluster"),
        (OWN, 0, "own_identity"),
        (PeerIdentity(0, 1), 0, "own_identity"),
    ],
)
def test_whose_certificates_may_hold_a_connection(proven: PeerIdentity, dialled: int, reason: str | None) -> None:
    if reason is None:
        check_peer(proven, OWN, dialled)
        return
    with pytest.raises(Refusal) as caught:
        check_peer(proven, OWN, dialled)
    assert caught.value.reason == reason


def test_the_name_in_a_certificate_has_exactly_one_form() -> None:
    for identity in (PEER, PeerIdentity(0, 1), PeerIdentity(ID_MAX, ID_MAX)):
        assert PeerIdentity.parse(identity.uri) == identity
        assert identity_of({"subjectAltName": (("URI", identity.uri),)}) == identity
    for text in (
        "kmini://7/member/2",
        PEER.uri + "/",
        PEER.uri + "\n",
        PEER.uri.upper(),
        "https://0000000000000007/member/0000000000000002",
        "kmini://0000000000000007/member/0000000000000000",
        "kmini://ffffffffffffffff/member/0000000000000002",
        "kmini://0000000000000007/member/ffffffffffffffff",
    ):
        with pytest.raises(ValueError, match=r"not a member's name|ids are numbers"):
            PeerIdentity.parse(text)


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {},
        {"subjectAltName": ()},
        {"subjectAltName": (("DNS", PEER.uri),)},
        {"subjectAltName": (("URI", PEER.uri), ("DNS", "localhost"))},
        {"subjectAltName": (("URI", PEER.uri), ("URI", OWN.uri))},
        {"subjectAltName": (("URI", "spiffe://x"),)},
    ],
)
def test_certificates_that_name_no_member(certificate: Any) -> None:
    with pytest.raises(Refusal) as caught:
        identity_of(certificate)
    assert caught.value.reason == "bad_identity"
