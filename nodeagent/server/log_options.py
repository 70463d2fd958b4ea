"""What is asked of a container's log, in the kubelet's parameters. The API server has checked it; so do we."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from apiserver.api.errors import BadRequest

from .log_lines import time_ns

_DIGITS_MAX = 18


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`since_ns` is since the epoch; None is no bound."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_ns: int | None = None


def log_options(parameters: Sequence[tuple[str, str]], now: float) -> LogOptions:
    """`now` in seconds since the epoch. Raises BadRequest."""
    asked = dict(reversed(parameters))  # the first of each name counts
    since_seconds = _number(asked, "sinceSeconds")
    since_ns = None if since_seconds is None else int((now - since_seconds) * 1e9)
    if text := asked.get("sinceTime", ""):
        since_ns = time_ns(text)
        if since_ns is None:
            raise BadRequest(f"sinceTime: {text[:64]!r} is not a time in RFC 3339's form")
    return LogOptions(
        follow=_flag(asked, "follow"),
        previous=_flag(asked, "previous"),
        timestamps=_flag(asked, "timestamps"),
        tail_lines=_number(asked, "tailLines"),
        limit_bytes=_number(asked, "limitBytes"),
        since_ns=since_ns,
    )


def _flag(asked: dict[str, str], name: str) -> bool:
    return asked.get(name, "false").lower() not in ("false", "0")


def _number(asked: dict[str, str], name: str) -> int | None:
    text = asked.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise BadRequest(f"{name}: {text[:32]!r} is not a number of at least 0")
    return int(text)
