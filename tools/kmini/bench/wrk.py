"""wrk as the compiled HTTPS load generator. A load in which any request failed is no figure, but an error."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .api_pods import Script
from .within import within

_EXTRA_S = 30.0


class WrkMissing(Exception):
    """wrk is not installed."""


class LoadFailed(Exception):
    """wrk ended badly, or some requests did."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """`bytes_read` counts heads and bodies of all answers; `cpu_share` is wrk's own, of one core."""

    requests: int
    rate: float
    bytes_read: int
    p50_s: float
    p99_s: float
    cpu_share: float


def require() -> None:
    """Raises WrkMissing, naming the Debian package."""
    if shutil.which("wrk") is None:
        raise WrkMissing("wrk missing: apt-get install wrk")


def summary(output: str, *, cpu_share: float) -> Load:
    """What the script's last line says. Raises LoadFailed when a request failed or none was made."""
    lines = [line for line in output.splitlines() if line.startswith('{"requests"')]
    if not lines:
        raise LoadFailed(f"wrk printed no figures: {output[-300:]!r}")
    found = json.loads(lines[-1])
    if found["failed"] or not found["requests"] or not found["duration_us"]:
        raise LoadFailed(f"wrk: {found['requests']} requests, {found['failed']} failed: {output[-600:]!r}")
    return Load(
        requests=found["requests"],
        rate=found["requests"] / (found["duration_us"] / 1e6),
        bytes_read=found["bytes"],
        p50_s=found["p50_us"] / 1e6,
        p99_s=found["p99_us"] / 1e6,
        cpu_share=cpu_share,
    )


async def run(base: str, script: Script, *, token: str, clients: int, duration_s: float) -> Load:
    """Ask `base` (https://address:port) for `duration_s` from `clients` connections. Raises LoadFailed."""
    seconds = max(1, round(duration_s))
    with _file(script.text(token)) as lua:
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "20s", "-s", str(lua), base]
        before = os.times()
        output = await _output(command, timeout_s=seconds + _EXTRA_S)
        after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return summary(output, cpu_share=busy / seconds)


@contextmanager
def _file(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kmini-wrk-") as folder:
        lua = Path(folder, "load.lua")
        lua.touch(mode=0o600)  # it holds a token
        lua.write_text(text)
        yield lua


async def _output(command: list[str], *, timeout_s: float) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await within(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    if process.returncode:
        raise LoadFailed(f"wrk ended with {process.returncode}: {text[-300:]!r}")
    return text
