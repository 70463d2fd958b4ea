"""Debian's h2load as a compiled gRPC load generator.

h2load knows HTTP/2 but not gRPC: it posts one file again and again. A unary gRPC call is a POST of one
length-prefixed message, so that is enough. It takes any HTTP 200 for a success, and gRPC says its errors in
trailers; callers must check what the server did (the revision) beside what h2load counted.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .within import within

_RATE = re.compile(r"finished in [\d.]+m?s, ([\d.]+) req/s")
_REQUESTS = re.compile(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored")
_STATUS = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
_TRAFFIC = re.compile(r"\((\d+)\) data")


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """`latencies_s` has one value per answered request; `cpu_share` is h2load's own, of one core."""

    rate: float
    succeeded: int
    body_bytes: int  # of all answers together
    latencies_s: list[float]
    cpu_share: float


class LoadFailed(Exception):
    """h2load ended badly or some requests did."""


def grpc_frame(message: bytes) -> bytes:
    """A message as it lies in a gRPC body: not compressed, four bytes of length, the message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def summary(output: str) -> tuple[float, int, int]:
    """(requests per second, succeeded, bytes of the answers) of what h2load prints.

    Raises LoadFailed when any request did not succeed.
    """
    rate, requests, status = _RATE.search(output), _REQUESTS.search(output), _STATUS.search(output)
    traffic = _TRAFFIC.search(output)
    if rate is None or requests is None or status is None or traffic is None:
        raise LoadFailed(f"h2load printed no summary: {output[-300:]!r}")
    succeeded, failed, errored = (int(group) for group in requests.groups())
    # 2xx and succeeded may differ: an answer may have its status in the warm-up and its end after it, or be cut short
    good, *other = (int(group) for group in status.groups())
    if failed or errored or any(other) or not good or not succeeded:
        raise LoadFailed(f"h2load: {succeeded} succeeded, {failed} failed, {errored} errored; {status.group(0)}")
    return float(rate.group(1)), succeeded, int(traffic.group(1))


def latencies(log: str) -> list[float]:
    """Seconds per request out of h2load's log: start in microseconds, status, duration in microseconds."""
    rows = (line.split("\t") for line in log.splitlines())
    return [int(row[2]) / 1e6 for row in rows if len(row) >= 3 and row[1] == "200"]


async def run(
    port: int, path: str, message: bytes, *, connections: int, streams: int, duration_s: float, warm_up_s: float = 0.5
) -> LoadResult:
    """Send `message` to 127.0.0.1:`port` from `connections` x `streams` clients for `duration_s` (h2c)."""
    with _files(grpc_frame(message)) as (body, log):
        command = [
            "h2load", f"-c{connections}", f"-m{streams}", f"-D{round(duration_s * 1000)}ms",
            f"--warm-up-time={round(warm_up_s * 1000)}ms", f"-d{body}", f"--log-file={log}",
            "-Hcontent-type: application/grpc", "-Hte: trailers", f"http://127.0.0.1:{port}{path}",
        ]  # fmt: skip
        before = os.times()
        output = await _output(command, timeout_s=duration_s + warm_up_s + 30)
        after = os.times()
        busy = after.children_user + after.children_system - before.children_user - before.children_system
        rate, succeeded, body_bytes = summary(output)
        return LoadResult(
            rate=rate,
            succeeded=succeeded,
            body_bytes=body_bytes,
            latencies_s=latencies(_text(log)),
            cpu_share=busy / (duration_s + warm_up_s),
        )


@contextmanager
def _files(content: bytes) -> Iterator[tuple[Path, Path]]:
    """A file with the body to send, and a place for the log."""
    with tempfile.TemporaryDirectory(prefix="kmini-h2load-") as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(content)
        yield body, log


def _text(log: Path) -> str:
    return log.read_text()


async def _output(command: Sequence[str], *, timeout_s: float) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await within(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise LoadFailed(f"h2load ended with {process.returncode}: {output.decode(errors='replace')[-300:]!r}")
    return output.decode(errors="replace")
