"""Following a log: everything once and in order, over files put aside, until the container has ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from container_logs import put_log_aside, raw_line

from nodeagent.server import log_reader, log_stream
from nodeagent.server.log_options import LogOptions
from nodeagent.server.log_reader import LogReader
from nodeagent.server.log_stream import LogStream

WITHIN_S = 60.0


class Client:
    """What was sent to it. `ended` says that the container has."""

    def __init__(self) -> None:
        self.text = b""
        self.ended = False
        self._news = asyncio.Event()

    async def write(self, text: bytes) -> None:
        assert text, "nothing is not sent: it would end the answer"
        self.text += text
        self._news.set()

    async def over(self) -> bool:
        return self.ended

    async def has(self, text: bytes) -> None:
        async with asyncio.timeout(WITHIN_S):
            while text not in self.text:
                self._news.clear()
                await self._news.wait()


Story = Callable[[Client, Path], Awaitable[None]]


def follow(log: Path, options: LogOptions, story: Story) -> bytes:
    async def main() -> bytes:
        client, stream = Client(), LogStream(log, options)
        with ThreadPoolExecutor(1) as threads:
            try:
                async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
                    group.create_task(stream.copy(threads, client.write, client.over))
                    await story(client, log)
            finally:
                stream.close()
        return client.text

    return asyncio.run(main())


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log_reader, "SETTLE_S", 0.01)
    monkeypatch.setattr(log_stream, "POLL_FIRST_S", 0.001)
    path = tmp_path / "0.log"
    path.write_bytes(raw_line("1") + raw_line("2"))
    return path


def add(log: Path, *texts: str) -> None:
    with log.open("ab") as file:
        for text in texts:
            file.write(raw_line(text))


async def nothing(client: Client, log: Path) -> None:
    pass


def test_without_follow_it_ends(log: Path) -> None:
    assert follow(log, LogOptions(), nothing) == b"1\n2\n"
    assert follow(log, LogOptions(tail_lines=1), nothing) == b"2\n"
    assert follow(log, LogOptions(tail_lines=0), nothing) == b""
    assert follow(log, LogOptions(limit_bytes=3), nothing) == b"1\n2"


def test_it_follows_until_the_container_has_ended(log: Path) -> None:
    async def story(client: Client, log: Path) -> None:
        await client.has(b"2\n")
        add(log, "3")
        await client.has(b"3\n")
        add(log, "4")
        client.ended = True

    assert follow(log, LogOptions(follow=True, tail_lines=1), story) == b"2\n3\n4\n"


def test_it_follows_over_files_put_aside(log: Path) -> None:
    async def story(client: Client, log: Path) -> None:
        await client.has(b"2\n")
        for number in range(3, 8):
            with log.open("ab", buffering=0) as old:
                put_log_aside(log)
                old.write(raw_line(f"{number}"))
                add(log, f"new {number}")
            await client.has(f"new {number}\n".encode())
        client.ended = True

    numbers = [f"{each}\nnew {each}" for each in range(3, 8)]
    assert follow(log, LogOptions(follow=True), story).decode() == "\n".join(["1", "2", *numbers, ""])


def test_put_aside_and_ended_at_once(log: Path) -> None:
    async def story(client: Client, log: Path) -> None:
        await client.has(b"2\n")
        put_log_aside(log)
        add(log, "3")
        client.ended = True

    assert follow(log, LogOptions(follow=True), story) == b"1\n2\n3\n"


def test_a_limit_ends_it_though_the_container_goes_on(log: Path) -> None:
    async def story(client: Client, log: Path) -> None:
        await client.has(b"2\n")
        add(log, "3", "4", "5")

    assert follow(log, LogOptions(follow=True, limit_bytes=6), story) == b"1\n2\n3\n"


def test_nothing_is_read_for_a_client_that_does_not_take_it(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(b"".join(raw_line("x" * 1000) for _ in range(1000)))

    async def main() -> None:
        stream, blocked, sent = LogStream(log, LogOptions()), asyncio.Event(), []
        never = asyncio.Event()

        async def write(text: bytes) -> None:
            sent.append(len(text))
            blocked.set()
            await never.wait()

        async def over() -> bool:
            return True

        with ThreadPoolExecutor(1) as threads:
            copying = asyncio.create_task(stream.copy(threads, write, over))
            await asyncio.wait_for(blocked.wait(), WITHIN_S)
            await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(threads, lambda: None), WITHIN_S)
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
        stream.close()
        assert len(sent) == 1
        assert sent[0] <= log_reader.BLOCK_BYTES

    asyncio.run(main())


def test_files_are_read_in_threads(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may take its time: nobody else's request waits for it."""
    ours, read = threading.get_ident(), LogReader.read
    readers: set[int] = set()

    def reading(reader: LogReader) -> bytes:
        readers.add(threading.get_ident())
        return read(reader)

    monkeypatch.setattr(LogReader, "read", reading)
    assert follow(log, LogOptions(), nothing) == b"1\n2\n"
    assert readers
    assert ours not in readers


def test_a_reader_that_is_closed_under_way_reads_no_more(log: Path) -> None:
    async def main() -> None:
        client, stream = Client(), LogStream(log, LogOptions(follow=True))
        with ThreadPoolExecutor(1) as threads:
            copying = asyncio.create_task(stream.copy(threads, client.write, client.over))
            await client.has(b"2\n")
            stream.close()
            add(log, "3")
            client.ended = True
            await asyncio.wait_for(copying, WITHIN_S)
        assert client.text == b"1\n2\n"

    asyncio.run(main())
