"""One question to one container, and its outcome in the kubelet's words."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.probes import ExecAction, GRPCAction, HTTPGetAction, Probe, TCPSocketAction
from nodeagent.runtime.interface import ExecResult, RuntimeFailure, TookTooLong

from .actions import BadAction, HttpWish, http_wish, place, port_of, redirected
from .grpc_health import SERVING, service_status
from .http import BadAnswer, get

OUTPUT_BYTES_MAX = 10 * 1024
REDIRECTS_MAX = 10
RUNTIME_EXTRA_S = 10.0  # what the runtime gets beyond the time that the command has
_GOOD, _REDIRECTS = range(200, 400), range(300, 400)


class Result(Enum):
    """WARNING is a success that people should hear of."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


class Outcome(msgspec.Struct, frozen=True):
    result: Result
    output: str = ""


class Unasked(Exception):
    """The question could not be put, so nothing is known."""


class Executor(Protocol):
    async def exec_sync(
        self, container_id: str, command: Sequence[str], *, timeout_s: float, brief: bool = False
    ) -> ExecResult:
        """`brief`: who prints much has failed."""


class Asked(msgspec.Struct, frozen=True):
    """The container that is asked, and where it is reached."""

    spec: ContainerSpec
    container_id: str
    address: str


async def check(probe: Probe, asked: Asked, executor: Executor, *, within_s: float) -> Outcome:
    """Raises Unasked."""
    try:
        if probe.exec is not None:
            return await _exec(probe.exec, asked, executor, within_s)
        if probe.http_get is not None:
            return await _http(probe.http_get, asked, within_s)
        if probe.tcp_socket is not None:
            return await _tcp(probe.tcp_socket, asked, within_s)
        if probe.grpc is not None:
            return await _grpc(probe.grpc, asked, within_s)
    except BadAction as error:
        raise Unasked(str(error)) from error
    raise Unasked("missing probe handler")


async def _exec(action: ExecAction, asked: Asked, executor: Executor, within_s: float) -> Outcome:
    try:
        async with asyncio.timeout(within_s + RUNTIME_EXTRA_S):
            found = await executor.exec_sync(asked.container_id, action.command, timeout_s=within_s, brief=True)
    except TookTooLong:
        words = f'command timed out: "{" ".join(action.command)}" timed out after {within_s:g}s'
        return Outcome(Result.FAILURE, words)
    except (RuntimeFailure, TimeoutError) as error:
        raise Unasked(str(error) or "the runtime does not answer") from error
    output = (found.stdout[:OUTPUT_BYTES_MAX] + found.stderr[:OUTPUT_BYTES_MAX])[:OUTPUT_BYTES_MAX]
    return Outcome(Result.FAILURE if found.exit_code else Result.SUCCESS, output.decode("utf-8", "replace"))


async def _http(action: HTTPGetAction, asked: Asked, within_s: float) -> Outcome:
    wish = http_wish(action, asked.spec, asked.address)
    try:
        async with asyncio.timeout(within_s):
            return await _followed(wish)
    except TimeoutError:
        return _failed(wish, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    except BadAnswer as error:
        return _failed(wish, str(error))
    except OSError as error:
        return _failed(wish, _connection_words(error, wish.host, wish.port))


def _failed(wish: HttpWish, words: str) -> Outcome:
    return Outcome(Result.FAILURE, f'Get "{wish.url}": {words}')


async def _followed(wish: HttpWish) -> Outcome:
    """A redirect on the same host is followed; one that leads away is success enough, with a word to say so."""
    for _ in range(REDIRECTS_MAX):
        answer = await get(wish)
        if answer.status not in _GOOD:
            return Outcome(Result.FAILURE, f"HTTP probe failed with statuscode: {answer.status}")
        if answer.status not in _REDIRECTS:
            return Outcome(Result.SUCCESS, answer.body.decode("utf-8", "replace"))
        further = redirected(wish, answer.location) if answer.location else None
        if further is None:
            body = answer.body.decode("utf-8", "replace")
            return Outcome(Result.WARNING, f"Probe terminated redirects, Response body: {body}")
        wish = further
    return _failed(wish, f"stopped after {REDIRECTS_MAX} redirects")


async def _tcp(action: TCPSocketAction, asked: Asked, within_s: float) -> Outcome:
    host, port = action.host or asked.address, port_of(action.port, asked.spec)
    if not host:
        raise BadAction("the pod has no address")
    try:
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(Result.FAILURE, f"dial tcp {place(host, port)}: i/o timeout")
    except OSError as error:
        return Outcome(Result.FAILURE, _connection_words(error, host, port))
    writer.close()  # in good order: the other side may be a simple one
    return Outcome(Result.SUCCESS)


async def _grpc(action: GRPCAction, asked: Asked, within_s: float) -> Outcome:
    if not asked.address:
        raise BadAction("the pod has no address")
    port = port_of(action.port, asked.spec)
    status, words = await service_status(asked.address, port, action.service or "", within_s=within_s)
    if words:
        return Outcome(Result.FAILURE, words)
    if status != SERVING:
        return Outcome(Result.FAILURE, f'service unhealthy (responded with "{status}")')
    return Outcome(Result.SUCCESS)


def _connection_words(error: OSError, host: str, port: int) -> str:
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"
    words = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
    return f"dial tcp {place(host, port)}: connect: {words}"
