"""GET /containerLogs/{namespace}/{pod}/{container}: one container's log, streamed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from aiohttp import web

from apiserver.api.core.pod import Pod
from apiserver.api.errors import BadRequest, InternalError, TooManyRequests
from nodeagent.clock import Wall
from nodeagent.runtime.interface import Container, PodKey, Runtime, RuntimeFailure

from .finding import Finder, has_ended, logged
from .log_options import LogOptions, log_options
from .log_stream import LogStream
from .real_containers import RealContainers

STREAMS_MAX = 100  # each has a few files open
THREADS = 4
ASK_RUNTIME_EVERY_S = 10.0  # whether a container that is followed still runs; mostly the API says it sooner


class ContainerLogs:
    """Without `real` containers there are no logs. `close` when done."""

    def __init__(
        self, finder: Finder, runtime: Runtime, real: RealContainers | None, *, wall: Wall = time.time
    ) -> None:
        self._finder = finder
        self._runtime = runtime
        self._real = real
        self._wall = wall
        self._threads = ThreadPoolExecutor(THREADS, "logs")
        self.open = 0

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(
        self, request: web.BaseRequest, names: Sequence[str], parameters: Sequence[tuple[str, str]]
    ) -> web.StreamResponse:
        """Raises ApiError while nothing was sent."""
        namespace, name, container_name = names
        options = log_options(parameters, self._wall())
        pod = self._finder.pod(namespace, name)
        history = await self._finder.history(pod, container_name)
        container = logged(pod, container_name, history, previous=options.previous)
        file = self._file(container)
        if self.open >= STREAMS_MAX:
            raise TooManyRequests(f"{self.open} logs are read already", retry_after_s=1)
        self.open += 1
        try:
            stream = await self._opened(file, options)
            try:
                return await self._send(request, stream, self._over(pod, container))
            finally:
                self._threads.submit(stream.close)
        finally:
            self.open -= 1

    def _file(self, container: Container) -> Path:
        if self._real is None:
            words = "is simulated: it writes no log"
            raise BadRequest(f'container "{container.name}" in pod "{container.pod.name}" {words}')
        return self._real.log_file(container.pod, container.name, container.attempt)

    async def _opened(self, file: Path, options: LogOptions) -> LogStream:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(LogStream, file, options))
        except OSError as error:
            raise InternalError(f"cannot read the log {file.name}: {error.strerror or error}") from error

    async def _send(
        self, request: web.BaseRequest, stream: LogStream, over: Callable[[], Awaitable[bool]]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if request.method != "HEAD":
            await stream.copy(self._threads, response.write, over)
        await response.write_eof()
        return response

    def _over(self, pod: Pod, container: Container) -> Callable[[], Awaitable[bool]]:
        """Whether it has ended. The pod's feed is asked each time, the runtime now and then."""
        loop = asyncio.get_running_loop()
        asked = loop.time()

        async def over() -> bool:
            nonlocal asked
            if container.exited or has_ended(self._finder.by_uid(pod.metadata.uid), container):
                return True
            if loop.time() - asked < ASK_RUNTIME_EVERY_S:
                return False
            asked = loop.time()
            return await self._is_gone(container)

        return over

    async def _is_gone(self, container: Container) -> bool:
        """From the runtime; when that does not answer, nobody knows."""
        pod: PodKey = container.pod
        try:
            found = await self._runtime.list_containers(pod_uid=pod.uid)
        except RuntimeFailure:
            return False
        return not any(each.id == container.id and not each.exited for each in found)
