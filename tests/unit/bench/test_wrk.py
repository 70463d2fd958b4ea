"""Reading what wrk's script prints, and the Lua that makes it ask."""

from __future__ import annotations

import json

import pytest
from kmini.bench import api_pods
from kmini.bench.wrk import LoadFailed, summary

PRINTED = """\
Running 2s test @ https://127.0.0.1:6443
  25000 requests in 2.00s, 42.00MB read

{"requests":25000,"duration_us":2000000,"bytes":44040192,"failed":0,"p50_us":4800,"p99_us":12000}
"""


def test_summary_gives_rate_and_latencies_in_seconds() -> None:
    load = summary(PRINTED, cpu_share=0.5)
    assert (load.rate, load.requests, load.bytes_read) == (12_500.0, 25_000, 44_040_192)
    assert (load.p50_s, load.p99_s, load.cpu_share) == (0.0048, 0.012, 0.5)


@pytest.mark.parametrize(
    ("good", "bad"),
    [('"failed":0', '"failed":1'), ('"requests":25000', '"requests":0'), ('{"requests"', '{"other"')],
)
def test_a_request_that_failed_fails_the_load(good: str, bad: str) -> None:
    with pytest.raises(LoadFailed):
        summary(PRINTED.replace(good, bad), cpu_share=0.0)


def test_pods_are_of_one_to_two_kib() -> None:
    body = api_pods.pod(api_pods.pod_name(7))
    assert json.loads(body)["metadata"]["name"] == "frontend-6d4b75cb6d-00007"
    assert 1024 <= len(body) <= 2048


def test_only_a_load_with_a_token_shows_one() -> None:
    script = api_pods.gets(["/hello"])
    assert "Bearer abc" in script.text("abc")
    assert "Authorization" not in script.text("")


def test_gets_go_round_pods_that_are_there() -> None:
    lua = api_pods.pod_gets(20).lua
    assert "frontend-6d4b75cb6d-00019" in lua
    assert "frontend-6d4b75cb6d-00020" not in lua
