"""A watch as its reader sees it. What it survives is tested with informers, which live by it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from scripted_api import SERVERS, Answers, ScriptedApi, Time, answer_of, client_of

from apiserver.api.core.config import ConfigMap
from apiserver.api.errors import ApiError, Forbidden, Gone, InternalError, ServiceUnavailable, Timeout
from apiserver.client import Client, Event
from apiserver.client.responses import Response
from apiserver.client.transport import TransportError


def event(type_: str, version: int, **metadata: Any) -> bytes:
    obj = {"kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": str(version), **metadata}}
    return msgspec.json.encode({"type": type_, "object": obj}) + b"\n"


def stream(*lines: bytes) -> Response:
    return Response(200, {}, b"".join(lines))


def refused(error: ApiError) -> Response:
    return answer_of(error.status(), error.status_code)


INITIAL_END = {"annotations": {"k8s.io/initial-events-end": "true"}}
LAST = refused(Forbidden("enough"))


def seen(
    *answers: Response | TransportError, time: Time | None = None, **options: Any
) -> tuple[list[Any], Answers, ApiError]:
    """Types and versions of what came, what was asked, and the error that ended it."""
    transport = Answers(*answers)
    client = client_of(transport, time=time)

    async def read() -> tuple[list[Any], ApiError]:
        found = []
        try:
            async for each in client.watch(ConfigMap, **options):
                found.append((each.type, int(each.object.metadata.resource_version)))
        except ApiError as error:
            return found, error
        raise AssertionError("a watch ends only by an error")

    found, error = asyncio.run(read())
    return found, transport, error


def versions(transport: Answers) -> list[str | None]:
    return [dict(request.query).get("resourceVersion") for _, request in transport.asked]


def test_it_goes_on_from_the_last_event_and_shows_nothing_twice() -> None:
    found, transport, error = seen(
        stream(event("ADDED", 6), event("MODIFIED", 7)),
        TransportError("reset", sent=True),
        stream(event("MODIFIED", 7), event("DELETED", 9)),
        LAST,
        resource_version="5",
    )
    assert found == [("ADDED", 6), ("MODIFIED", 7), ("DELETED", 9)]
    assert versions(transport) == ["5", "7", "7", "9"]
    assert isinstance(error, Forbidden)


def test_a_bookmark_moves_it_on_and_is_shown_only_to_who_wants_it() -> None:
    answers = (stream(event("BOOKMARK", 20)), LAST)
    found, transport, _ = seen(*answers, resource_version="5")
    assert (found, versions(transport)) == ([], ["5", "20"])
    assert seen(*answers, resource_version="5", bookmarks=True)[0] == [("BOOKMARK", 20)]


def test_initial_events_come_in_any_order_and_start_over_until_they_are_complete() -> None:
    found, transport, _ = seen(
        stream(event("ADDED", 9), event("ADDED", 4)),
        stream(event("ADDED", 9), event("ADDED", 4), event("BOOKMARK", 12, **INITIAL_END), event("MODIFIED", 13)),
        LAST,
    )
    assert found == [("ADDED", 9), ("ADDED", 4), ("ADDED", 9), ("ADDED", 4), ("MODIFIED", 13)]
    assert versions(transport) == [None, None, "13"]


@pytest.mark.parametrize(
    "gone",
    [
        refused(Gone("too old")),
        stream(msgspec.json.encode({"type": "ERROR", "object": Gone("too old").status()}) + b"\n"),
    ],
)
def test_lost_history_is_raised(gone: Response) -> None:
    assert isinstance(seen(gone, resource_version="5")[2], Gone)


def test_servers_without_a_leader_are_waited_for() -> None:
    no_leader = refused(ServiceUnavailable("no leader", retry_after_s=1))
    found, transport, _ = seen(*[no_leader] * 30, stream(event("ADDED", 6)), LAST, resource_version="5")
    assert found == [("ADDED", 6)]
    assert {server for server, _ in transport.asked} == set(SERVERS)


def test_servers_that_keep_answering_that_they_cannot_are_not() -> None:
    _, transport, error = seen(*[refused(Timeout("Too large resource version"))] * 30, resource_version="5")
    assert isinstance(error, Timeout)
    assert len(transport.asked) == 6


def test_who_does_not_want_to_wait_for_ever_need_not() -> None:
    time = Time()
    down = [TransportError("refused", sent=False)] * 100
    _, _, error = seen(*down, time=time, resource_version="5", give_up_after_s=20.0)
    assert isinstance(error, ServiceUnavailable)
    assert 20 < time.now < 40


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"type": "ADDED"}\n', b'{"type": "ADDED", "object": [1]}\n'])
def test_nonsense_is_an_error_after_some_tries(line: bytes) -> None:
    assert isinstance(seen(*[stream(line)] * 10, resource_version="5")[2], InternalError)


def test_who_stops_listening_leaves_nothing_open() -> None:
    async def act() -> Client:
        api = ScriptedApi()
        api.write("a")
        client = client_of(api)
        watch = client.watch(ConfigMap, resource_version="10")
        first: Event[ConfigMap] = await anext(watch)
        assert first.object.data == {"at": "11"}
        assert client.caller._streams._value == client.caller.options.streams_max - 1
        await watch.aclose()
        return client

    client = asyncio.run(act())
    assert client.caller._streams._value == client.caller.options.streams_max


def test_a_raw_watch_copies_what_it_does_not_read() -> None:
    from apiserver.api.kinds import kind_of
    from apiserver.client.requests import ListOptions

    async def act() -> list[bytes]:
        client = client_of(Answers(stream(event("ADDED", 6)), LAST))
        watch = client.open_raw_watch(kind_of(ConfigMap), options=ListOptions(resource_version="5"))
        found = [bytes((await anext(watch.events())).object)]
        assert watch.resource_version == "6"
        return found

    assert asyncio.run(act()) == [b'{"kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"6"}}']
