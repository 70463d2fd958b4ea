"""A system program that misbehaves is one clear error, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import sys

import pytest
import uvloop

from nodeagent.network.programs import ProgramFailed, run_program


def run(code: str, *, given: bytes = b"", timeout_s: float = 20.0, answer_max: int = 1000) -> bytes:
    command = (sys.executable, "-c", code)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the agent has it
        return runner.run(run_program(command, given=given, timeout_s=timeout_s, answer_max=answer_max))


def test_it_is_given_its_input_and_heard() -> None:
    assert run("import sys; sys.stdout.write(sys.stdin.read().upper())", given=b"abc") == b"ABC"


def test_its_complaint_is_told() -> None:
    with pytest.raises(ProgramFailed, match=r"failed: no such rule\Z"):
        run("import sys; sys.stderr.write('\\nno such rule\\nmore'); sys.exit(3)")


def test_one_that_hangs_is_ended() -> None:
    with pytest.raises(ProgramFailed, match=r"did not end within 0.2 s"):
        run("import signal; signal.pause()", timeout_s=0.2)


def test_who_is_cancelled_at_whatever_moment_leaves_nothing() -> None:
    async def body(turns: int) -> None:
        running = asyncio.create_task(run_program(("sleep", "60"), timeout_s=60, answer_max=1))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()

    for turns in range(8):
        uvloop.run(body(turns))


def test_one_that_never_listens_is_no_trouble() -> None:
    assert run("pass", given=b"x" * 1_000_000) == b""


def test_it_may_open_its_input_by_name() -> None:
    """As nft does."""
    assert run("print(open('/dev/stdin').read())", given=b"abc") == b"abc\n"


def test_one_that_says_too_much_is_refused() -> None:
    with pytest.raises(ProgramFailed, match="more than 1000 bytes"):
        run("print('x' * 100_000)")


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(ProgramFailed, match="nothing-of-this-name cannot be started"):
        asyncio.run(run_program(("nothing-of-this-name",), timeout_s=1, answer_max=1))
