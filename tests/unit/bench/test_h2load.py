"""Reading what h2load prints: it counts any HTTP 200, so partial success must not pass for a figure."""

from __future__ import annotations

import pytest
from kmini.bench.h2load import LoadFailed, grpc_frame, latencies, summary

PRINTED = """\
finished in 3.00s, 11928.00 req/s, 761.58KB/s
requests: 23856 total, 23856 started, 23856 done, 23856 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 23856 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.49MB (1559717) total, 74.18KB (75956) headers (space savings 94.74%), 1.18MB (1242290) data
"""


def test_summary_gives_rate_count_and_bytes() -> None:
    assert summary(PRINTED) == (11928.0, 23856, 1242290)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("0 failed", "3 failed"),
        ("0 errored", "1 errored"),
        ("23856 2xx, 0 3xx", "23856 2xx, 1 3xx"),
        ("23856 2xx", "0 2xx"),
        ("0 5xx", "2 5xx"),
        ("23856 succeeded", "0 succeeded"),
        ("finished in", "ended in"),
    ],
)
def test_any_request_that_did_not_succeed_fails_the_load(good: str, bad: str) -> None:
    with pytest.raises(LoadFailed):
        summary(PRINTED.replace(good, bad))


@pytest.mark.parametrize("statuses", [23855, 23857])
def test_an_answer_across_the_beginning_or_the_end_is_harmless(statuses: int) -> None:
    assert summary(PRINTED.replace("23856 2xx", f"{statuses} 2xx"))[1] == 23856


def test_latencies_are_seconds_of_answered_requests() -> None:
    log = "1795416126697998\t200\t1240\n1795416126699430\t-1\t3935\n1795416126703400\t200\t582\n"
    assert latencies(log) == [0.00124, 0.000582]


def test_a_grpc_frame_is_length_prefixed_and_not_compressed() -> None:
    assert grpc_frame(b"abc") == b"\0\0\0\0\3abc"
