"""Bad requests leave nothing behind: a real server's memory stops growing however many of them come.

It is a bound with a generous margin, not a measurement: what the first half leaves is compared with the second half's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from kmini_process import Server

REQUESTS = int(os.environ.get("KMINI_FUZZ_REQUESTS", "12000"))
CONNECTIONS = 8
MARGIN_BYTES = 8 * 1024 * 1024
MAPS = b"/api/v1/namespaces/default/configmaps"
PODS = b"/api/v1/namespaces/default/pods"


def request(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    head = b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % (method, path, len(body))
    return head + b"".join(b"%s\r\n" % header for header in headers) + b"\r\n" + body


def bad_requests() -> Iterator[bytes]:
    """Every one another: what remembers names, paths, tokens, headers or errors without a bound would grow."""
    for number in itertools.count():
        mark = b"%08d" % number
        yield request(b"GET", b"/api/v1/namespaces/none-%s/pods/none-%s" % (mark, mark))
        yield request(b"GET", b"/none/%s" % mark)
        yield request(b"GET", MAPS + b"?labelSelector=a%s+in+(" % mark)
        yield request(b"GET", MAPS + b"?limit=1&continue=%s" % mark)
        yield request(b"GET", MAPS + b"/none", b"", b"Authorization: Bearer %s.%s.%s" % (mark, mark, mark))
        yield request(b"GET", MAPS, b"", b"Accept: application/%s" % mark)
        yield request(b"GET", MAPS, b"", b"Impersonate-User: user-%s" % mark)
        yield request(b"POST", MAPS, b'{"metadata":{"name":"%s_"}}' % mark)
        yield request(b"POST", MAPS, b'{"metadata":{"name":"%s"},"%s":{}' % (mark, mark))
        yield request(b"POST", MAPS + b"?fieldValidation=Strict", json.dumps({f"f{number}": [{}] * 200}).encode())
        yield request(b"POST", PODS, b'{"metadata":{"name":"a"},"spec":{"containers":[%s]}}' % (b"{}," * 150 + b"{}"))
        yield request(b"POST", MAPS, b"a: &a {%s: b}\nb: {<<: [*a, *a]}" % mark, b"Content-Type: application/yaml")
        yield request(b"PATCH", MAPS + b"/none-%s" % mark, b"{}", b"Content-Type: application/merge-patch+json")
        yield request(b"DELETE", MAPS + b"/none-%s" % mark)


async def send_some(server: Server, requests: Iterator[bytes], count: int) -> None:
    """Over one connection, kept open as long as the server keeps it."""
    context = ssl.create_default_context(cafile=server.pki / "ca.crt")
    context.load_cert_chain(server.pki / "admin.crt", server.pki / "admin.key")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.api_port, ssl=context)
    try:
        for _ in range(count):
            sent = next(requests)
            writer.write(sent)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            assert 200 <= int(head.split(" ")[1]) < 500, (head, sent[:500])
            length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length:"))
            await reader.readexactly(int(length.partition(":")[2]))
    finally:
        writer.close()
        await writer.wait_closed()


async def send(server: Server, requests: Iterator[bytes], count: int) -> None:
    share = count // CONNECTIONS
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(send_some(server, requests, share))


def resident_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def test_bad_requests_leave_nothing_behind(tmp_path: Path) -> None:
    server = Server("n1", tmp_path / "n1", "--etcd-port", "0")
    server.start()
    try:
        server.wait_ready()
        requests = bad_requests()
        asyncio.run(send(server, requests, REQUESTS // 4))  # caches fill, modules load
        start = resident_bytes(server.pid)
        asyncio.run(send(server, requests, REQUESTS // 2))
        middle = resident_bytes(server.pid)
        asyncio.run(send(server, requests, REQUESTS // 2))
        end = resident_bytes(server.pid)
        assert end - middle <= max(0, middle - start) // 2 + MARGIN_BYTES, (start, middle, end)
    finally:
        server.end()
