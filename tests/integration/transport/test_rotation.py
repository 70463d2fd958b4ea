"""New certificates and a new authority while the links carry messages."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from peers import CALM, CLUSTER, Authorities, Peer, all_up, eventually, introduce, run, running

from apiserver.auth import pki
from raftstore.raft.credentials import Credentials

RENEWING = msgspec.structs.replace(CALM, settled_s=3.0)  # renewals are spread over it


def test_links_are_renewed_under_new_certificates_without_a_gap(authorities: Authorities) -> None:
    async def body() -> None:
        one, other = [Peer(number, authorities.member(number), timing=RENEWING) for number in (1, 2)]
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            serial = pki_serial(other)
            one.transport.set_credentials(authorities.member(1))
            await eventually(lambda: one.transport.metrics.links_replaced >= 1)
            await eventually(lambda: pki_serial(other) not in ("", serial))  # in its own time
            await all_up(one, other)
            assert one.transport.send(2, {"type": "after"})
            await eventually(lambda: other.recorder.messages(1) == [{"type": "after"}])
            assert one.transport.metrics.dial_failures == 0

    run(body())


def test_a_twin_that_is_under_way_when_credentials_are_replaced_is_no_failure(authorities: Authorities) -> None:
    """Its link is that of the former credentials: the renewal goes on, and no peer counts as hard to reach."""

    async def body() -> None:
        one, other = Peer(1, authorities.member(1)), Peer(2, authorities.member(2))
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            await one.transport._peers[2].dialler._connect()  # its hello is on the way
            one.transport.set_credentials(authorities.member(1))
            await eventually(lambda: one.transport.metrics.links_replaced >= 1)
            await all_up(one, other)
            assert one.transport.metrics.dial_failures == 0

    run(body())


def pki_serial(peer: Peer) -> str:
    link = peer.transport._peers[1].link
    return str(link.certificate["serialNumber"]) if link is not None else ""


def test_an_authority_is_replaced_in_three_steps(authorities: Authorities) -> None:
    """The new one is trusted everywhere, then used, then the old one is dropped; the last step shuts the old out."""
    new_ca = pki.make_authority("the next peer CA")
    old_ca = authorities.peer_ca

    def credentials(member: int, issuer: pki.KeyPair, *trusted: pki.KeyPair) -> Credentials:
        return authorities.files(pki.issue_peer(issuer, CLUSTER, member), *trusted)

    async def body() -> None:
        one, other = [Peer(number, credentials(number, old_ca, old_ca), timing=RENEWING) for number in (1, 2)]
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            for issuer, trusted in ((old_ca, [old_ca, new_ca]), (new_ca, [old_ca, new_ca]), (new_ca, [new_ca])):
                for peer in (one, other):
                    generation = peer.transport._generation
                    peer.transport.set_credentials(credentials(peer.id, issuer, *trusted))
                    assert peer.transport._generation == generation + 1
                    await all_up(one, other)
            await eventually(lambda: current(one) and current(other))
            await all_up(one, other)
            late = Peer(2, credentials(2, old_ca, old_ca, new_ca))
            async with running(late):
                late.transport.set_members([one.member])
                await eventually(lambda: one.transport.metrics.refused["untrusted_certificate"] >= 1)
                assert not late.recorder.up(1)

    def current(peer: Peer) -> bool:
        links = [entry.link for entry in peer.transport._peers.values()]
        return all(link is not None and link.generation == peer.transport._generation for link in links)

    run(body())


def test_a_link_of_dropped_credentials_is_ended_even_if_it_cannot_be_renewed(authorities: Authorities) -> None:
    """A peer that never got a certificate of the new authority loses its link, and does not keep it for ever."""
    new_ca = pki.make_authority("the next peer CA")
    timing = msgspec.structs.replace(RENEWING, retire_s=0.6)

    async def body() -> None:
        one, other = [Peer(number, authorities.member(number), timing=timing) for number in (1, 2)]
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            one.transport.set_credentials(authorities.files(pki.issue_peer(new_ca, CLUSTER, 1), new_ca))
            assert one.recorder.up(2)
            await eventually(lambda: not one.recorder.up(2))
            await eventually(lambda: one.transport.metrics.dial_failures >= 1)
            assert one.recorder.count("connected", 2) == 1

    run(body())


def test_credentials_that_do_not_load_leave_the_present_ones(authorities: Authorities, tmp_path: Path) -> None:
    async def body() -> None:
        one, other = Peer(1, authorities.member(1)), Peer(2, authorities.member(2))
        async with running(one, other):
            broken = tmp_path / "broken.crt"
            broken.write_text("nonsense")
            good = authorities.member(1)
            for bad in (
                Credentials(authority=good.authority, certificate=broken, key=good.key),
                Credentials(authority=broken, certificate=good.certificate, key=good.key),
                Credentials(authority=good.authority, certificate=good.certificate, key=tmp_path / "none.key"),
                Credentials(authority=good.authority, certificate=good.certificate, key=authorities.member(1).key),
            ):
                with pytest.raises(OSError, match=r".*"):
                    one.transport.set_credentials(bad)
            introduce(one, other)
            await all_up(one, other)

    run(body())
