"""Tests enter the network of a host with the thread that they run on, and with no other that matters later."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import grpc
from container_host import own_network


async def call_nobody(channel: grpc.aio.Channel) -> None:
    call: Any = channel.unary_unary("/service/Method")
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call(b"")


def test_grpc_connects_from_where_the_process_is_whatever_was_left_of_it_elsewhere(containers: None) -> None:
    """Its threads live as long as any of its objects does, and serve whatever test comes next."""
    left: list[grpc.aio.Channel] = []

    async def body() -> None:
        left.extend(grpc.aio.insecure_channel(f"unix:/nowhere/{number}") for number in range(20))
        await asyncio.gather(*map(call_nobody, left))

    with own_network():
        asyncio.run(body())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        host, port = listening.getsockname()
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            channel.subscribe(lambda state: None, try_to_connect=True)
            listening.accept()[0].close()
