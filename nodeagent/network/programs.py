"""Runs a system program, bounded in time and in what it may say. Never through a shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence

from nodeagent.errors import AgentError

_SAYS_MAX = 300


class ProgramFailed(AgentError):
    """It is not there, says no, or does not end."""


async def run_program(command: Sequence[str], *, given: bytes = b"", timeout_s: float, answer_max: int) -> bytes:
    """What it printed. Raises ProgramFailed with the first line of its complaint."""
    name = command[0]
    try:
        with _to_read(given) as stdin:
            process = await _started(command, stdin, answer_max)
    except OSError as error:
        raise ProgramFailed(f"{name} cannot be started: {error.strerror}; is it installed?") from error
    try:
        async with asyncio.timeout(timeout_s):
            printed, complaint = await _listen(process, answer_max)
            code = await process.wait()
    except TimeoutError as error:
        raise ProgramFailed(f"{name} did not end within {timeout_s:g} s") from error
    finally:
        await _end(process)
    if len(printed) > answer_max:
        raise ProgramFailed(f"{name} printed more than {answer_max} bytes")
    if code != 0:
        raise ProgramFailed(f"{name} failed: {_first_line(complaint or printed) or f'exit code {code}'}")
    return printed


async def _started(command: Sequence[str], stdin: int, limit: int) -> asyncio.subprocess.Process:
    """Whole or not at all: who is cancelled in the middle of it would leave a process that nobody ends."""
    pipe = asyncio.subprocess.PIPE
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*command, stdin=stdin, stdout=pipe, stderr=pipe, limit=limit)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.contextmanager
def _to_read(given: bytes) -> Iterator[int]:
    """A file in memory: what a loop gives as a pipe may be a socket, which nft cannot open by its name /dev/stdin."""
    descriptor = os.memfd_create("given", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(given)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


async def _listen(process: asyncio.subprocess.Process, answer_max: int) -> tuple[bytes, bytes]:
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        printed = group.create_task(_hear(process.stdout, answer_max))
        complaint = group.create_task(_hear(process.stderr, answer_max))
    return printed.result(), complaint.result()


async def _hear(pipe: asyncio.StreamReader, most: int) -> bytes:
    """All of it, of which one byte more than `most` is kept."""
    heard = bytearray()
    while piece := await pipe.read(65_536):
        heard += piece[: most + 1 - len(heard)]
    return bytes(heard)


def _first_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
    return next((line for line in lines if line), "")[:_SAYS_MAX]
