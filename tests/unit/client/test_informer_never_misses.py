"""Whatever connections, servers and history do: an informer's copy and what its handlers were told come out right."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_api import SERVERS, ScriptedApi, Time, client_of

from apiserver.api.core.config import ConfigMap
from apiserver.client import CacheFull, Change, Informer, by_label

NAMES = ("a", "b", "c", "d")
names = st.sampled_from(NAMES)
servers = st.sampled_from(SERVERS)
steps = st.one_of(
    st.tuples(st.just("write"), names),
    st.tuples(st.just("write"), names),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("break"), st.none()),
    st.tuples(st.just("down"), servers),
    st.tuples(st.just("up"), servers),
    st.tuples(st.just("refuses"), servers),
    st.tuples(st.just("cut"), servers),
    st.tuples(st.just("half"), servers),
    st.tuples(st.just("repeat"), st.integers(0, 5)),
    st.tuples(st.just("run"), st.integers(1, 20)),
)
#: Servers that have not seen what the informer has make it list again after a while; so does lost history.
harder = st.one_of(steps, st.tuples(st.just("compact"), st.none()), st.tuples(st.just("behind"), servers))


async def turn(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def take(api: ScriptedApi, step: tuple[str, Any]) -> None:
    what, argument = step
    if what == "write":
        api.write(argument)
    elif what == "remove":
        api.remove(argument)
    elif what == "break":
        api.break_streams()
    elif what == "compact":
        api.compact()
        api.break_streams()
    elif what == "repeat":
        api.repeats = argument
    elif what == "run":
        await turn(argument)
    else:
        server = api.servers[argument]
        server.down = what == "down"
        server.refuses = what == "refuses"
        server.behind = 2 if what == "behind" else 0
        server.cut_after = 1 if what in ("cut", "half") else -1
        server.half_lines = what == "half"
        api.move()


class Told:
    """A handler that checks the grammar of what it is told, and keeps a copy of its own."""

    def __init__(self) -> None:
        self.copy: dict[str, ConfigMap] = {}
        self.told: list[tuple[str, str]] = []

    def __call__(self, change: Change[ConfigMap]) -> None:
        name, known = change.object.metadata.name, self.copy.get(change.object.metadata.name)
        if change.type == "added":
            assert known is None
            self.copy[name] = change.object
        elif change.type == "updated":
            assert known is not None
            assert change.old is known
            assert known.metadata.uid == change.object.metadata.uid
            assert int(known.metadata.resource_version) < int(change.object.metadata.resource_version)
            self.copy[name] = change.object
        else:
            assert known is not None
            assert known.metadata.uid == change.object.metadata.uid
            del self.copy[name]
        self.told.append((change.type, change.object.metadata.resource_version))


async def settled(api: ScriptedApi, informer: Informer[ConfigMap]) -> None:
    """The faults are over, and one last write has arrived."""
    api.heal()
    api.write("last")
    for _ in range(3000):
        if informer.resource_version == str(api.revision):
            return
        await asyncio.sleep(0)
    raise AssertionError(f"stuck at {informer.resource_version}, the API is at {api.revision}: {informer.error}")


async def live_through(script: list[tuple[str, Any]], seed: int) -> tuple[ScriptedApi, Informer[ConfigMap], Told]:
    api, told = ScriptedApi(seed), Told()
    api.write("a")
    first = api.revision
    informer = Informer(client_of(api, seed=seed), ConfigMap, page_size=2, indexes={"odd": by_label("odd")})
    informer.add_handler(told)
    async with informer:
        await informer.wait_for_sync(timeout_s=5)
        assert informer.resource_version == str(first)
        for step in script:
            await take(api, step)
        await settled(api, informer)
    return api, informer, told


def agree(api: ScriptedApi, informer: Informer[ConfigMap], told: Told) -> None:
    state = api.state()
    assert {obj.metadata.name: obj for obj in informer.cache} == state
    assert told.copy == state
    for odd in ("0", "1"):
        found = {obj.metadata.name for obj in informer.cache.by_index("odd", odd)}
        assert found == {name for name, obj in state.items() if obj.metadata.labels["odd"] == odd}


@given(script=st.lists(steps, max_size=40), seed=st.integers(0, 1000))
def test_while_history_lasts_every_single_event_is_told_once_and_nothing_is_listed_again(
    script: list[tuple[str, Any]], seed: int
) -> None:
    api, informer, told = asyncio.run(live_through(script, seed))
    agree(api, informer, told)
    words = {"ADDED": "added", "MODIFIED": "updated", "DELETED": "deleted"}
    assert told.told == [(words[type_], str(revision)) for revision, type_, _ in api.history]
    assert api.lists == 1


@given(script=st.lists(harder, max_size=40), seed=st.integers(0, 1000))
def test_when_history_is_gone_the_copy_and_the_handlers_catch_up_by_comparing(
    script: list[tuple[str, Any]], seed: int
) -> None:
    agree(*asyncio.run(live_through(script, seed)))


def test_an_object_made_anew_while_nobody_looked_is_told_as_deleted_and_added() -> None:
    script: list[tuple[str, Any]] = [("down", server) for server in SERVERS]
    script += [("remove", "a"), ("write", "a"), ("compact", None)]
    _, _, told = asyncio.run(live_through(script, 0))
    assert [type_ for type_, _ in told.told] == ["added", "deleted", "added", "added"]


def test_an_object_deleted_while_nobody_looked_is_told_with_its_last_known_state() -> None:
    async def run() -> list[Change[ConfigMap]]:
        api = ScriptedApi()
        changes: list[Change[ConfigMap]] = []
        api.write("a")
        async with Informer(client_of(api), ConfigMap) as informer:
            await informer.wait_for_sync()
            informer.add_handler(changes.append)
            for server in api.servers.values():
                server.down = True
            api.break_streams()
            api.remove("a")
            api.compact()
            await settled(api, informer)
        return changes

    added, last, deleted = asyncio.run(run())  # what is gone is known once the list has come to its end
    assert (added.type, last.type, deleted.type) == ("added", "added", "deleted")
    assert not deleted.seen
    assert deleted.object is added.object


def test_an_outage_of_all_servers_costs_no_second_list() -> None:
    script = [*[("down", server) for server in SERVERS], ("break", None), ("write", "b"), ("run", 200)]
    api, informer, told = asyncio.run(live_through(script, 1))
    agree(api, informer, told)
    assert api.lists == 1


def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_circle() -> None:
    async def run() -> Time:
        api, time = ScriptedApi(), Time()
        api.write("a")
        api.servers[SERVERS[0]].cut_after = 0
        async with Informer(client_of(api, servers=SERVERS[:1], time=time), ConfigMap) as informer:
            await informer.wait_for_sync()
            api.write("b")
            await turn(100)
        return time

    time = asyncio.run(run())
    assert time.slept
    assert max(time.slept) > 2.0  # it grew


def test_more_objects_than_allowed_stop_the_informer_instead_of_leaving_holes() -> None:
    async def run() -> None:
        api = ScriptedApi()
        for name in NAMES:
            api.write(name)
        async with Informer(client_of(api), ConfigMap, objects_max=3) as informer:
            await informer.wait_for_sync()

    with pytest.raises(CacheFull, match="more than 3 configmaps"):
        asyncio.run(run())


def test_a_trim_keeps_only_what_it_gives_and_objects_keep_their_place() -> None:
    def bare(obj: ConfigMap) -> ConfigMap:
        return ConfigMap(data={"at": obj.data["at"]})

    async def run() -> list[Change[ConfigMap]]:
        api = ScriptedApi()
        changes: list[Change[ConfigMap]] = []
        api.write("a")
        async with Informer(client_of(api), ConfigMap, trim=bare) as informer:
            informer.add_handler(changes.append)
            await informer.wait_for_sync()
            api.write("a")
            api.remove("a")
            await settled(api, informer)
            assert informer.cache.get("last", namespace="default") is not None
        return changes

    assert [change.type for change in asyncio.run(run())] == ["added", "updated", "deleted", "added"]


def test_a_handler_that_fails_stops_neither_the_others_nor_the_copy(caplog: pytest.LogCaptureFixture) -> None:
    def fails(change: Change[ConfigMap]) -> None:
        raise RuntimeError("broken handler")

    async def run() -> tuple[ScriptedApi, Informer[ConfigMap], Told]:
        api, told = ScriptedApi(), Told()
        async with Informer(client_of(api), ConfigMap, indexes={"odd": by_label("odd")}) as informer:
            informer.add_handler(fails)
            informer.add_handler(told)
            await informer.wait_for_sync()
            await settled(api, informer)
        return api, informer, told

    agree(*asyncio.run(run()))
    assert "a handler failed" in caplog.text


def test_waiting_for_a_sync_that_cannot_be_says_what_stands_in_the_way() -> None:
    async def run() -> None:
        api = ScriptedApi()
        for server in api.servers.values():
            server.down = True
        async with Informer(client_of(api), ConfigMap) as informer:
            await turn(200)
            await informer.wait_for_sync(timeout_s=0.01)

    with pytest.raises(TimeoutError, match=r"configmaps were not listed within 0.01 s: no server can be reached"):
        asyncio.run(run())


def test_much_that_came_and_much_that_is_gone_is_told_in_many_turns_of_the_loop() -> None:
    """Others share the loop, and handlers do some work for each object."""

    async def run() -> None:
        api, moments, moment = ScriptedApi(), Counter[tuple[str, int]](), 0
        for number in range(95):
            api.write(f"n{number}")

        async def count() -> None:
            nonlocal moment
            while True:
                await asyncio.sleep(0)
                moment += 1

        counting = asyncio.create_task(count())
        async with Informer(client_of(api), ConfigMap) as informer:
            informer.add_handler(lambda change: moments.update([(change.type, moment)]))
            await informer.wait_for_sync()
            for number in range(95):
                api.write(f"n{number}")
            await turn(500)
            for number in range(95):
                api.remove(f"n{number}")
            api.compact()
            api.break_streams()
            await turn(500)
            assert len(informer.cache) == 0
        counting.cancel()
        assert Counter(type_ for type_, _ in moments.elements()) == {"added": 95, "updated": 95, "deleted": 95}
        assert max(moments.values()) <= 10

    asyncio.run(run())
