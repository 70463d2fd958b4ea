"""The fake API that controllers are tested on says what a real server says, to any sequence of requests."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from api_thread import ThreadedApi, api_on_thread
from fake_api import FakeApi
from fake_api_alike import PATHS, Side, Wanted, first_requests, random_request, shown
from manifests import MANIFESTS, path_of

from apiserver.client.requests import Request

REQUESTS = 400
COLLECTIONS = frozenset(PATHS.values())
#: What the fake API has no use for: nobody has rights in it, nothing is stored of it, or the server adds to it alone.
_NOT_FAKED = ("Review", "TokenRequest", "Binding", "CertificateSigningRequest")


def asked_of_fake(api: FakeApi, wanted: Wanted, body: Any) -> tuple[int, Any]:
    headers = (("Content-Type", wanted.content_type), ("X-Kmini-Fence", wanted.fence))
    raw = None if body is None else msgspec.json.encode(body)
    query = tuple(parse_qsl(wanted.query.removeprefix("?")))
    answer = api.do(Request(method=wanted.method, path=wanted.path, query=query, headers=headers, body=raw))
    return answer.status, msgspec.json.decode(answer.body)


def asked_of_real(api: ThreadedApi, wanted: Wanted, body: Any) -> tuple[int, Any]:
    headers = {"Content-Type": wanted.content_type} | ({"X-Kmini-Fence": wanted.fence} if wanted.fence else {})
    answer = api.json(wanted.method, wanted.path + wanted.query, body, headers=headers)
    return answer.code, answer.body


def compared(fake: FakeApi, real: ThreadedApi, sides: tuple[Side, Side], wanted: Wanted) -> None:
    place = wanted.path.removesuffix("/status")
    one = asked_of_fake(fake, wanted, sides[0].filled(wanted.body))
    other = asked_of_real(real, wanted, sides[1].filled(wanted.body))
    if wanted.method == "POST" and place in COLLECTIONS:
        place = f"{place}/{wanted.body['metadata'].get('name', '*')}"
    mine, real_one = sides[0].heard(place, one[1]), sides[1].heard(place, other[1])
    assert (one[0], mine) == (other[0], real_one), shown(wanted)


@pytest.mark.parametrize("seed", range(4))
def test_random_requests_are_answered_alike(tmp_path: Path, seed: int) -> None:
    fake, random, sides = FakeApi(seed=seed), Random(seed), (Side(), Side())
    with api_on_thread(tmp_path) as real:
        for wanted in first_requests():
            compared(fake, real, sides, wanted)
        for _ in range(REQUESTS):
            compared(fake, real, sides, random_request(random))
    assert fake.writes > REQUESTS // 10


def test_every_kind_is_made_alike(tmp_path: Path) -> None:
    """Twice, so that every kind is also there already."""
    fake, sides = FakeApi(), (Side(), Side())
    manifests = [each for name, each in MANIFESTS.items() if not name.endswith(_NOT_FAKED)]
    with api_on_thread(tmp_path) as real:
        for manifest in (*manifests, *manifests):
            compared(fake, real, sides, Wanted("POST", path_of(manifest), body=manifest))
