"""What is shown of raw lines: parts put together, times, since when, how much."""

from __future__ import annotations

import itertools

from container_logs import BEGIN, moment, raw_line
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.server.log_lines import LogLines, ends_line, time_ns

SECOND = 1_000_000_000
BEGIN_NS = int(BEGIN.timestamp()) * SECOND
texts = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=30)
#: (text, seconds after the begin, stream, whether it is a part)
raw = st.tuples(
    texts, st.floats(0, 100).map(lambda x: round(x, 6)), st.sampled_from(("stdout", "stderr")), st.booleans()
)


def written(lines: list[tuple[str, float, str, bool]]) -> bytes:
    return b"".join(raw_line(text, at=at, stream=stream, part=part) for text, at, stream, part in lines)


@given(st.lists(raw, max_size=20))
def test_parts_are_put_together(lines: list[tuple[str, float, str, bool]]) -> None:
    expected = "".join(text + ("" if part else "\n") for text, _, _, part in lines)
    assert LogLines().shown(written(lines)) == expected.encode()


@given(st.lists(raw, max_size=20), st.lists(st.integers(0, 20), max_size=4))
def test_it_does_not_matter_where_raw_lines_are_divided(
    lines: list[tuple[str, float, str, bool]], cuts: list[int]
) -> None:
    whole = LogLines(timestamps=True, limit_bytes=200).shown(written(lines))
    shown, edges = LogLines(timestamps=True, limit_bytes=200), sorted({0, *cuts, len(lines)})
    assert b"".join(shown.shown(written(lines[a:b])) for a, b in itertools.pairwise(edges)) == whole


@given(st.lists(raw, max_size=20), st.floats(0, 100))
def test_only_what_is_not_older(lines: list[tuple[str, float, str, bool]], since: float) -> None:
    kept = [each for each in lines if (time_ns(moment(each[1])) or 0) >= BEGIN_NS + int(since * SECOND)]
    shown = LogLines(since_ns=BEGIN_NS + int(since * SECOND)).shown(written(lines))
    assert shown == LogLines().shown(written(kept))


@given(st.lists(raw, max_size=20), st.integers(1, 100))
def test_no_more_than_so_many_bytes(lines: list[tuple[str, float, str, bool]], limit: int) -> None:
    shown = LogLines(limit_bytes=limit)
    whole = LogLines().shown(written(lines))
    assert shown.shown(written(lines)) == whole[:limit]
    assert shown.full == (len(whole) >= limit)
    if shown.full:
        assert shown.shown(raw_line("more")) == b""


def test_times_stand_where_lines_begin_with_nine_digits() -> None:
    written = raw_line("a", at=0.5, part=True) + raw_line("b", at=1) + raw_line("c", at=2.25)
    assert LogLines(timestamps=True).shown(written) == (
        b"2026-01-02T03:04:05.500000000Z ab\n2026-01-02T03:04:07.250000000Z c\n"
    )
    assert (
        LogLines(timestamps=True)
        .shown(b"2026-01-02T03:04:05Z stdout F x\n")
        .startswith(b"2026-01-02T03:04:05.000000000Z x")
    )
    far = b"2026-01-02T05:04:05.123456789+02:00 stderr F x\n"
    assert LogLines(timestamps=True).shown(far) == b"2026-01-02T05:04:05.123456789+02:00 x\n"
    assert LogLines(since_ns=BEGIN_NS + 123_456_789).shown(far) == b"x\n", "in another zone it is the same moment"
    assert LogLines(since_ns=BEGIN_NS + 123_456_790).shown(far) == b""


def test_what_is_no_line_is_left_out() -> None:
    torn = b"\x00\x00\x00\n\nstdout F x\n2026-01-02T03:04:05Z stdnone F x\n2026-01-02T03:04:05Z stdout F"
    assert LogLines().shown(torn) == b""
    assert LogLines().shown(raw_line("a\rb") + torn + b"\n" + raw_line("")) == b"a\rb\n\n"
    assert LogLines(since_ns=0).shown(b"yesterday stdout F x\n") == b"x\n"
    for odd in (b"yesterday", b"", b"Z", b"2026-01-02 03:04:05Z"[:10], b"x" * 40):
        assert LogLines(timestamps=True).shown(odd + b" stdout F x\n") == odd + b" x\n"
    assert [ends_line(each) for each in (raw_line("a")[:-1], raw_line("a", part=True), b"", b"a b c d")] == [
        True,
        False,
        False,
        False,
    ]


def test_times() -> None:
    assert time_ns("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert time_ns("1970-01-01T01:00:01+01:00") == SECOND
    assert time_ns("yesterday") is None
    assert time_ns("2026-13-01T00:00:00Z") is None
