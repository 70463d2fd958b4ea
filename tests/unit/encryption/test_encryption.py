"""Envelopes: what is sealed opens again, under its own store key, with the right ring, and no other way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver import encryption
from apiserver.auth import keyring
from apiserver.encryption import CannotOpen, Encryption

KEY = b"/registry/secrets/default/db"
PLAIN = b'{"apiVersion":"v1","kind":"Secret","data":{"password":"aHVudGVyMg=="}}'


@pytest.fixture
def ring() -> keyring.KeyRing:
    return keyring.new_ring()


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=4096))
def test_what_is_sealed_opens_again(key: bytes, plain: bytes) -> None:
    sealer = Encryption.with_ring(keyring.new_ring())
    stored = sealer.seal(key, plain)
    assert stored[:1] == encryption.SEALED
    assert sealer.open(key, stored) == plain


def test_nothing_of_the_plaintext_or_the_keys_is_in_what_is_stored(ring: keyring.KeyRing) -> None:
    stored = Encryption.with_ring(ring).seal(KEY, PLAIN)
    assert b"password" not in stored
    assert b"aHVudGVyMg" not in stored
    assert ring.keys[0].secret not in stored
    assert ring.active.encode() in stored


def test_another_process_with_the_same_ring_opens_it(ring: keyring.KeyRing) -> None:
    stored = Encryption.with_ring(ring).seal(KEY, PLAIN)
    assert Encryption.with_ring(ring).open(KEY, stored) == PLAIN


def test_the_same_value_is_never_the_same_bytes(ring: keyring.KeyRing) -> None:
    sealer = Encryption.with_ring(ring)
    assert len({sealer.seal(KEY, PLAIN) for _ in range(1000)}) == 1000


def test_a_value_is_bound_to_its_store_key(ring: keyring.KeyRing) -> None:
    sealer = Encryption.with_ring(ring)
    with pytest.raises(CannotOpen, match="another object"):
        sealer.open(b"/registry/secrets/default/other", sealer.seal(KEY, PLAIN))


def test_each_byte_counts(ring: keyring.KeyRing) -> None:
    sealer = Encryption.with_ring(ring)
    stored = sealer.seal(KEY, PLAIN)
    for position in range(len(stored)):
        damaged = bytearray(stored)
        damaged[position] ^= 1
        with pytest.raises(CannotOpen) as caught:
            sealer.open(KEY, bytes(damaged))
        assert "/registry/secrets/default/db" in str(caught.value)
        assert "hunter" not in str(caught.value)


@given(st.binary(max_size=200))
def test_rubbish_is_an_error_that_names_the_store_key(rubbish: bytes) -> None:
    opener = Encryption.with_ring(keyring.new_ring())
    for stored in (encryption.SEALED + rubbish, b"\x02" + rubbish, b""):
        with pytest.raises(CannotOpen, match="default/db"):
            opener.open(KEY, stored)


def test_a_cut_value_does_not_open(ring: keyring.KeyRing) -> None:
    sealer = Encryption.with_ring(ring)
    stored = sealer.seal(KEY, b"")
    for length in range(len(stored)):
        with pytest.raises(CannotOpen):
            sealer.open(KEY, stored[:length])


def test_a_missing_key_is_named_by_its_id(ring: keyring.KeyRing) -> None:
    stored = Encryption.with_ring(ring).seal(KEY, PLAIN)
    with pytest.raises(CannotOpen, match=ring.active) as caught:
        Encryption.with_ring(keyring.new_ring()).open(KEY, stored)
    assert caught.value.status().code == 500
    other = keyring.KeyRing(ring.active, (keyring.RingKey(ring.active, b"\1" * 32),))
    with pytest.raises(CannotOpen, match="does not unwrap"):
        Encryption.with_ring(other).open(KEY, stored)


def test_plain_values_pass_unless_the_kind_demands_otherwise(ring: keyring.KeyRing) -> None:
    opener = Encryption.with_ring(ring)
    assert opener.open(KEY, PLAIN) is PLAIN
    with pytest.raises(CannotOpen, match="not encrypted"):
        opener.open(KEY, PLAIN, sealed_only=True)


def test_a_ring_is_rotated_in_three_steps_without_a_restart(ring: keyring.KeyRing) -> None:
    one, other = Encryption.with_ring(ring), Encryption.with_ring(ring)
    first = one.seal(KEY, PLAIN)
    assert not one.needs_reseal(first)
    assert one.needs_reseal(PLAIN)
    added = ring.with_new_key()
    one.reload(added)
    assert encryption.key_id_of(one.seal(KEY, PLAIN)) == ring.active
    other.reload(added)
    used = added.with_newest_active()
    one.reload(used)
    second = one.seal(KEY, PLAIN)
    assert encryption.key_id_of(second) == used.active != ring.active
    assert other.open(KEY, second) == PLAIN  # before it uses the new key itself
    assert one.needs_reseal(first)
    assert other.needs_reseal(second)
    other.reload(used)
    assert not other.needs_reseal(second)
    assert other.open(KEY, first) == PLAIN
    other.reload(used.with_only_active())
    assert other.open(KEY, second) == PLAIN
    with pytest.raises(CannotOpen, match=ring.active):
        other.open(KEY, first)


def test_data_keys_are_bounded_in_use_and_in_memory(ring: keyring.KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "SEALS_PER_DATA_KEY", 3)
    monkeypatch.setattr(encryption, "DATA_KEYS_CACHED_MAX", 2)
    sealer = Encryption.with_ring(ring)
    values = [sealer.seal(KEY, PLAIN) for _ in range(12)]
    heads = [encryption.split(KEY, value).head for value in values]
    assert [heads.count(head) for head in dict.fromkeys(heads)] == [3, 3, 3, 3]
    assert all(sealer.open(KEY, value) == PLAIN for value in values)
    assert len(sealer._opened) == 2


def test_no_secret_shows(ring: keyring.KeyRing) -> None:
    assert ring.keys[0].secret.hex() not in repr(encryption.LocalRing(ring))
    assert repr(ring.keys[0].secret) not in repr(encryption.LocalRing(ring))
