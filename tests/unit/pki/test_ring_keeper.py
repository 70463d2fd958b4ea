"""The key ring among replicas: each step reaches all of them, and none begins while one is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from apiserver.api.errors import BadRequest, Conflict, Forbidden, ServiceUnavailable
from apiserver.auth import keyring, pki
from apiserver.auth.ring_keeper import PATH_KEYS, PATH_LOOK, PATH_RING, RingKeeper
from apiserver.auth.user import User
from apiserver.encryption import Encryption, key_id_of
from apiserver.reencryption import Progress
from raftstore.errors import NoLeader

KEY = b"/registry/secrets/default/db"
ADMIN = User(name="kmini-admin", groups=("system:masters", "system:authenticated"))
NODE = User(name="system:node:w1", groups=("system:nodes", "system:authenticated"))


class World:
    """Replicas with ring keepers that ask each other without a network. Those in `down` do not answer."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.ring = keyring.new_ring()
        self.names = names
        self.down: set[str] = set()
        self.stored: dict[bytes, bytes] = {}
        self.leaderless = False
        self.slept_s = 0.0
        self.on_sleep: Callable[[], None] = lambda: None
        self.keepers: dict[str, RingKeeper] = {}
        self.encryption: dict[str, Encryption] = {}
        for name in names:
            self.start(folder, name)

    def start(self, folder: Path, name: str, ring: keyring.KeyRing | None = None) -> RingKeeper:
        path = folder / f"{name}.json"
        pki.write_file(path, (ring or self.ring).encode(), secret=True)
        self.encryption[name] = Encryption.with_ring(keyring.new_ring())
        self.keepers[name] = RingKeeper(
            name=name,
            path=path,
            encryption=self.encryption[name],
            others=Others(self, name),
            reencrypt=self.reencrypt_with(name),
            sleep=self.sleep,
        )
        return self.keepers[name]

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.on_sleep()

    def reencrypt_with(self, name: str) -> Callable[[], Awaitable[Progress]]:
        async def once() -> Progress:
            encryption, done = self.encryption[name], 0
            for key, value in self.stored.items():
                if encryption.needs_reseal(value):
                    self.stored[key] = encryption.seal(key, encryption.open(key, value))
                    done += 1
            return Progress(len(self.stored), done, 0)

        return once

    def digests(self) -> set[str]:
        return {keeper.ring.digest for keeper in self.keepers.values()}


class Others:
    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    def members(self) -> list[str]:
        return list(self.world.names)

    async def addresses(self) -> Mapping[str, str]:
        if self.world.leaderless:
            raise NoLeader("no leader is known")
        return {name: f"{name}:6443" for name in self.world.keepers if name != self.name}

    async def ask(self, address: str, method: str, path: str, body: bytes) -> bytes:
        name = address.split(":")[0]
        if name in self.world.down or self.name in self.world.down:
            raise ConnectionRefusedError(address)
        caller = User(name=f"kmini:server:{self.name}", groups=(pki.SERVER_GROUP,))
        return await self.world.keepers[name].answer(method, path, caller, body)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, "n1", "n2", "n3")


def step(world: World, name: str, through: str = "n1") -> dict[str, Any]:
    body = json.dumps({"step": name}).encode()
    answer = asyncio.run(world.keepers[through].answer("POST", PATH_KEYS, ADMIN, body))
    found: dict[str, Any] = json.loads(answer)
    return found


def test_a_rotation_from_one_end_to_the_other(world: World, tmp_path: Path) -> None:
    old = world.ring.active
    world.stored = {b"/registry/secrets/a/%d" % each: b'{"data":{}}' for each in range(5)}
    added = step(world, "add")
    assert [len(each["keys"]) for each in added["replicas"]] == [2, 2, 2]
    assert {each["active"] for each in added["replicas"]} == {old}
    used = step(world, "use", through="n2")
    new = used["replicas"][0]["active"]
    assert {each["active"] for each in used["replicas"]} == {new} != {old}
    done = step(world, "reencrypt", through="n3")
    assert (done["examined"], done["sealedAnew"]) == (5, 5)
    assert {key_id_of(value) for value in world.stored.values()} == {new}
    dropped = step(world, "drop")
    assert [each["keys"] for each in dropped["replicas"]] == [[new]] * 3
    for name in world.names:
        assert keyring.load(tmp_path / f"{name}.json") == world.keepers[name].ring
        assert (tmp_path / f"{name}.json").stat().st_mode & 0o777 == 0o600
        assert all(world.encryption[name].open(key, value) for key, value in world.stored.items())


@pytest.mark.parametrize("name", ["add", "use", "reencrypt", "drop"])
def test_no_step_begins_while_a_replica_is_missing(world: World, name: str) -> None:
    world.down.add("n3")
    before = world.digests()
    with pytest.raises(ServiceUnavailable, match="n3 does not answer"):
        step(world, name)
    assert world.digests() == before


def test_a_key_is_not_used_before_all_have_it(world: World) -> None:
    """n3 goes away just when the new key is spread: the step fails, and nobody encrypts with the key."""
    keeper = world.keepers["n1"]
    gather = keeper.gather

    async def gather_then_lose_one() -> Any:
        found = await gather()
        world.down.add("n3")
        return found

    keeper.gather = gather_then_lose_one  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable, match="n3"):
        step(world, "add")
    keeper.gather = gather  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable, match="n3"):
        step(world, "use")
    assert {key_id_of(each.seal(KEY, b"{}")) for each in world.encryption.values()} == {world.ring.active}
    world.down.clear()
    with pytest.raises(Conflict, match="n3 differs"):
        step(world, "use")
    assert asyncio.run(world.keepers["n3"].look())
    step(world, "use")
    assert len(world.digests()) == 1


def test_each_step_can_be_repeated(world: World) -> None:
    for name in ("add", "use", "reencrypt", "drop"):
        first = step(world, name)
        if name != "add" and name != "reencrypt":
            assert step(world, name)["replicas"] == first["replicas"]
    added = step(world, "add")
    assert step(world, "add") == added  # added and not used yet: no third key


def test_old_keys_stay_until_nothing_lies_under_them(world: World) -> None:
    world.stored[KEY] = world.encryption["n1"].seal(KEY, b'{"kind":"Secret"}')
    late = world.encryption["n2"].seal(b"/late", b'{"kind":"Secret"}')
    step(world, "add")
    with pytest.raises(Conflict, match="not in use yet"):
        step(world, "drop")
    step(world, "use")

    def write_late() -> None:
        if b"/late" not in world.stored:  # a write that was sealed before the new key was in use ends only now
            world.stored[b"/late"] = late

    world.on_sleep = write_late
    step(world, "drop")
    assert {key_id_of(value) for value in world.stored.values()} == {world.keepers["n1"].ring.active}
    assert world.encryption["n3"].open(b"/late", world.stored[b"/late"]) == b'{"kind":"Secret"}'


def test_a_replica_that_was_away_catches_up_when_it_starts(world: World, tmp_path: Path) -> None:
    for name in ("add", "use"):
        step(world, name)
    returned = world.start(tmp_path, "n3", ring=world.ring)
    assert asyncio.run(returned.look())
    assert len(world.digests()) == 1
    assert not asyncio.run(returned.look())


def test_of_two_rings_of_one_generation_all_take_the_same(world: World, tmp_path: Path) -> None:
    rings = [world.ring.with_new_key(), world.ring.with_new_key()]
    for name, ring in zip(("n1", "n2"), rings, strict=True):
        world.start(tmp_path, name, ring=ring)
    with pytest.raises(Conflict, match="another rotation"):
        step(world, "use")
    for name in world.names:
        asyncio.run(world.keepers[name].look())
    assert world.digests() == {max(rings, key=lambda ring: ring.order).digest}


def test_an_older_ring_is_never_taken(world: World, tmp_path: Path) -> None:
    newer = world.ring.with_new_key()
    keeper = world.start(tmp_path, "n1", ring=newer)
    assert not asyncio.run(keeper.look())
    assert keeper.ring == newer


def test_a_ring_that_was_overtaken_on_its_way_is_not_taken(world: World, tmp_path: Path) -> None:
    """While n1 hears of a newer ring from n2, a step of a rotation gives it one that is newer still."""
    second = world.ring.with_new_key()
    third = second.with_newest_active()
    world.start(tmp_path, "n2", ring=second)
    keeper = world.keepers["n1"]
    ask = keeper._others.ask

    async def ask_and_be_overtaken(*request: Any) -> bytes:
        answer = await ask(*request)
        await keeper._take(third)
        return answer

    keeper._others.ask = ask_and_be_overtaken  # type: ignore[method-assign, assignment]
    assert not asyncio.run(keeper.look())
    assert keeper.ring == third
    assert keyring.load(tmp_path / "n1.json") == third


def test_a_ring_that_cannot_be_written_is_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pki, "write_file", full)
    with pytest.raises(Exception, match="could not be written"):
        step(world, "add")
    assert world.digests() == {world.ring.digest}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", PATH_KEYS), ("POST", PATH_KEYS), ("POST", PATH_RING), ("POST", PATH_LOOK)]
)
def test_who_may_ask(world: World, method: str, path: str) -> None:
    with pytest.raises(Forbidden):
        asyncio.run(world.keepers["n1"].answer(method, path, NODE, b'{"step": "add"}'))
    assert world.digests() == {world.ring.digest}


def test_replicas_take_no_steps_and_admins_no_rings(world: World) -> None:
    replica = User(name="kmini:server:n2", groups=(pki.SERVER_GROUP,))
    with pytest.raises(Forbidden):
        asyncio.run(world.keepers["n1"].answer("POST", PATH_KEYS, replica, b'{"step": "add"}'))
    with pytest.raises(Forbidden):
        asyncio.run(world.keepers["n1"].answer("POST", PATH_RING, ADMIN, b"{}"))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"step": "jump"}', b'{"step": "add", "x": 1}', b"[" * 100_000])
def test_bad_steps(world: World, body: bytes) -> None:
    with pytest.raises(BadRequest):
        asyncio.run(world.keepers["n1"].answer("POST", PATH_KEYS, ADMIN, body))


def test_what_is_said_of_rings_holds_no_secret(world: World) -> None:
    said = asyncio.run(world.keepers["n1"].answer("GET", PATH_KEYS, ADMIN, b""))
    assert [each["name"] for each in json.loads(said)] == ["n1", "n2", "n3"]
    assert world.ring.active.encode() in said
    assert world.ring.keys[0].secret.hex().encode() not in said


def test_it_goes_on_looking(world: World) -> None:
    newer = world.ring.with_new_key()
    looks = 0

    def on_sleep() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            world.keepers["n2"].ring = newer
        if looks == 3:
            raise asyncio.CancelledError

    world.on_sleep = on_sleep
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(world.keepers["n1"].run())
    assert world.keepers["n1"].ring == newer


def test_without_a_leader_it_goes_on_looking_and_takes_no_step(world: World) -> None:
    world.leaderless = True
    assert not asyncio.run(world.keepers["n1"].look())
    with pytest.raises(ServiceUnavailable):
        step(world, "add")
    assert world.digests() == {world.ring.digest}
