"""The least that our server stack can answer: aiohttp's low-level server on uvloop, in the API's own TLS context.

What the API server adds to it (who asks, may they, which object, as of when) is what the benchmark's ratios show.
`python -m kmini.bench.hello PKI_FOLDER PORT`; ends with SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from kmini.api_face import server_context

from .api_pods import HELLO_BYTES

_BODY = b'{"hello":"%s"}' % (b"x" * (HELLO_BYTES - 12))


async def _answer(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=_BODY, content_type="application/json")


async def serve(folder: Path, port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    context = server_context(folder / "server.crt", folder / "server.key", folder / "ca.crt")
    listener = await loop.create_server(web.Server(_answer, access_log=None), "127.0.0.1", port, ssl=context)
    await ended.wait()
    listener.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
