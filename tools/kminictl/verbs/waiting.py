"""Waiting until an object is as somebody wants it: look, then watch from there, for as long as is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from apiserver.api.errors import Gone, NotFound

from ..cluster.selecting import Found

if TYPE_CHECKING:
    from ..cluster.session import Session

LONG_S = 7 * 86_400.0


async def until(
    session: Session,
    found: Found,
    holds: Callable[[dict[str, Any]], bool],
    *,
    timeout_s: float,
    may_be_gone: bool = False,
) -> bool:
    """Whether it came true in time. Raises NotFound when the object goes away meanwhile, unless that is fine."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                now = await session.api.get(found.resource.kind, found.name, found.namespace)
                if holds(now) or await _watched(session, found, holds, now):
                    return True
    except TimeoutError:
        return False
    except NotFound:
        if may_be_gone:
            return True
        raise


async def _watched(
    session: Session, found: Found, holds: Callable[[dict[str, Any]], bool], now: dict[str, Any]
) -> bool:
    """False when the object went away, or history did: look again."""
    events = session.api.watch(
        found.resource.kind,
        found.namespace,
        fields=f"metadata.name={found.name}",
        resource_version=now["metadata"]["resourceVersion"],
    )
    try:
        async with aclosing(events):
            async for type_, obj in events:
                if type_ == "DELETED":
                    return False
                if holds(obj):
                    return True
    except Gone:
        return False
    return False
