"""Encrypted values in a real store: nothing of them on disk in plain, all of them sealed anew while others write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from apiserver.auth import keyring
from apiserver.encryption import CannotOpen, Encryption, key_id_of
from apiserver.reencryption import PAGE, reencrypt
from raftstore import Compare, Put, Range, Store, StoreConfig

PREFIX = b"/registry/secrets/"
COUNT = 2 * PAGE + 3


def key(number: int) -> bytes:
    return PREFIX + b"default/s%05d" % number


def plain(number: int) -> bytes:
    return b'{"kind":"Secret","data":{"password":"never-on-disk-%05d"}}' % number


def config(folder: Path) -> StoreConfig:
    return StoreConfig(name="n1", data_dir=folder)


async def values(store: Store) -> dict[bytes, bytes]:
    found = await store.range(Range(PREFIX, PREFIX + b"\xff"))
    return {kv.key: kv.value for kv in found.kvs}


def rotated() -> tuple[Encryption, Encryption, keyring.KeyRing]:
    """Under a first key, and under the ring in which a second one is in use."""
    ring = keyring.new_ring()
    used = ring.with_new_key().with_newest_active()
    return Encryption.with_ring(ring), Encryption.with_ring(used), used


def test_everything_comes_under_the_new_key(tmp_path: Path) -> None:
    former, present, ring = rotated()

    async def body() -> None:
        async with await Store.open(config(tmp_path)) as store:
            for number in range(COUNT):
                value = plain(number) if number % 3 == 0 else former.seal(key(number), plain(number))
                await store.put(key(number), value)
            await store.put(b"/registry/pods/default/p", b'{"kind":"Pod"}')
            first = await reencrypt(store, present, [PREFIX])
            assert first == (COUNT, COUNT, 0)
            assert not first.complete
            again = await reencrypt(store, present, [PREFIX])
            assert again == (COUNT, 0, 0)
            assert again.complete
            after = await values(store)
            only_new = Encryption.with_ring(ring.with_only_active())
            assert {key_id_of(value) for value in after.values()} == {ring.active}
            assert all(only_new.open(key(number), after[key(number)]) == plain(number) for number in range(COUNT))
            pod = await store.get(b"/registry/pods/default/p")
            assert pod is not None
            assert pod.version == 1

    asyncio.run(body())


class Interrupted:
    """A store in which somebody else writes just before each transaction."""

    def __init__(self, store: Store, present: Encryption) -> None:
        self._store, self._present = store, present
        self.linearize, self.page = store.linearize, store.page
        self.writes = 0

    async def txn(self, compare: list[Compare], success: list[Put]) -> object:
        put = success[0]
        self.writes += 1
        await self._store.put(put.key, self._present.seal(put.key, b'{"by":"somebody else"}'))
        return await self._store.txn(compare, success)


def test_a_write_of_somebody_else_is_never_undone(tmp_path: Path) -> None:
    former, present, _ring = rotated()

    async def body() -> None:
        async with await Store.open(config(tmp_path)) as store:
            await store.put(key(1), former.seal(key(1), plain(1)))
            interrupted = Interrupted(store, present)
            done = await reencrypt(interrupted, present, [PREFIX])  # type: ignore[arg-type]
            assert done == (1, 0, 1)
            assert not done.complete
            after = await values(store)
            assert present.open(key(1), after[key(1)]) == b'{"by":"somebody else"}'

    asyncio.run(body())


def test_a_value_that_no_key_opens_is_named_and_left(tmp_path: Path) -> None:
    _former, present, _ring = rotated()
    stranger = Encryption.with_ring(keyring.new_ring())

    async def body() -> None:
        async with await Store.open(config(tmp_path)) as store:
            foreign = stranger.seal(key(7), plain(7))
            await store.put(key(7), foreign)
            with pytest.raises(CannotOpen, match="s00007"):
                await reencrypt(store, present, [PREFIX])
            assert (await values(store))[key(7)] == foreign

    asyncio.run(body())


def test_no_file_of_the_store_holds_plaintext(tmp_path: Path) -> None:
    """The search finds what is stored in plain, so it would find a secret too."""
    _former, present, _ring = rotated()

    async def body() -> None:
        async with await Store.open(config(tmp_path)) as store:
            for number in range(50):
                await store.put(key(number), present.seal(key(number), plain(number)))
            await store.put(b"/registry/configmaps/default/c", b'{"data":{"colour":"plainly-on-disk"}}')
            _size, chunks = await store.snapshot()
            with (tmp_path / "snapshot").open("wb") as file:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)

    asyncio.run(body())
    contents = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    holding = {path.relative_to(tmp_path).parts[0] for path, content in contents.items() if b"plainly-on" in content}
    assert holding == {"raft", "state", "snapshot"}
    assert [path for path, content in contents.items() if b"never-on-disk" in content] == []
