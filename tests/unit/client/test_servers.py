"""Which server is asked next, and what of them outlives a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
from scripted_api import SERVERS, Answers, Time, answer_of, client_of

from apiserver.api.errors import Forbidden, NotFound
from apiserver.client.learning import Learner, of_endpoints, of_slice
from apiserver.client.servers import Servers, base_address

A, B, C = SERVERS
LEARNED = "https://10.0.0.9:6443"


def servers_of(*names: str, time: Time | None = None, file: Path | None = None) -> Servers:
    return Servers(names or SERVERS, clock=(time or Time()).clock, random=Random(0), file=file)


def test_one_server_is_asked_as_long_as_it_works() -> None:
    servers = servers_of()
    assert [servers.pick() for _ in range(3)] == [A, A, A]


def test_who_failed_is_left_for_the_next_and_not_come_back_to_while_that_works() -> None:
    time = Time()
    servers = servers_of(time=time)
    servers.failed(A)
    assert servers.pick() == B
    time.now += 100
    assert servers.pick() == B


def test_when_all_failed_the_one_that_is_forgiven_first_is_asked() -> None:
    time = Time()
    servers = servers_of(time=time)
    for _ in range(4):
        servers.failed(A)
    time.now += 1
    servers.failed(B)
    servers.failed(C)
    servers.failed(C)
    assert servers.pick() == B


def test_a_server_that_works_again_starts_with_a_clean_sheet() -> None:
    time = Time()
    servers = servers_of(A, time=time)
    for _ in range(10):
        servers.failed(A)
    servers.works(A)
    servers.failed(A)
    assert servers._until(A) - time.now <= 0.5


def test_learned_servers_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "new" / "servers.json"
    first = servers_of(A, file=file)
    assert first.learn([LEARNED, A])
    assert not first.learn([A, LEARNED])  # no news
    first.save()
    assert servers_of(A, file=file).all == [A, LEARNED]


@pytest.mark.parametrize("content", [b"", b"{", b'{"servers": 3}', b'{"servers": ["ftp://x"]}', b"\xff\xfe"])
def test_a_damaged_file_costs_a_warning_and_no_more(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "servers.json"
    file.write_bytes(content)
    assert servers_of(A, file=file).all == [A]
    assert "cannot be read" in caplog.text


def test_nobody_named_is_an_error() -> None:
    with pytest.raises(ValueError, match="no server is named"):
        Servers([], clock=Time().clock, random=Random(0))


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1:6443", "ftp://x", "https://", "https://x:99999", "https://u:p@x", "https://x?a=b"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address of a server"):
        base_address(text)


SLICE: dict[str, Any] = {
    "endpoints": [
        {"addresses": ["10.0.0.9"], "conditions": {"ready": True}},
        {"addresses": ["fd00::2"], "conditions": {}},
        {"addresses": ["10.0.0.7"], "conditions": {"ready": False}},
    ],
    "ports": [{"name": "metrics", "port": 1}, {"name": "https", "port": 6443}],
}
ENDPOINTS: dict[str, Any] = {
    "subsets": [{"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 6443}]}, {"addresses": None, "ports": None}]
}


def learned(*answers: Any) -> tuple[bool, list[str], Answers]:
    transport = Answers(*answers)
    client = client_of(transport, servers=(A,))
    return asyncio.run(Learner(client.caller).learn()), client.caller.servers.all, transport


def test_servers_are_learned_from_the_endpoint_slice() -> None:
    assert learned(answer_of(SLICE))[:2] == (True, [A, LEARNED, "https://[fd00::2]:6443"])


@pytest.mark.parametrize("refusal", [Forbidden("no"), NotFound("none")])
def test_or_from_the_endpoints_for_those_who_may_only_read_these(refusal: Any) -> None:
    worked, servers, transport = learned(answer_of(refusal.status(), refusal.status_code), answer_of(ENDPOINTS))
    assert (worked, servers) == (True, [A, LEARNED])
    assert [request.path.split("/")[-2] for _, request in transport.asked] == ["endpointslices", "endpoints"]


@pytest.mark.parametrize("answers", [[answer_of({"endpoints": []})], [answer_of([1])], [answer_of({}, 401)]])
def test_who_learns_nothing_stays_with_what_is_configured(answers: list[Any]) -> None:
    assert learned(*answers)[:2] == (False, [A])


def test_endpoints_without_one_clear_port_say_nothing() -> None:
    assert of_endpoints(b'{"subsets":[{"addresses":[{"ip":"1.1.1.1"}],"ports":[{"port":1},{"port":2}]}]}') == []
    assert of_slice(b"{}") == []


def test_a_client_learns_while_it_lives() -> None:
    async def act() -> list[str]:
        client = client_of(Answers(*[answer_of(SLICE)] * 200), servers=(A,))
        learner = Learner(client.caller)
        learner.start()
        for _ in range(100):
            await asyncio.sleep(0)
        await learner.stop()
        return client.caller.servers.all

    assert LEARNED in asyncio.run(act())
