"""Writes that are made also when nobody says whether an attempt worked, as during an election.

How long may be tried is the test's own limit.
"""

from __future__ import annotations

from apiserver.api.errors import AlreadyExists, ApiError, NotFound
from apiserver.api.meta import TopObject
from apiserver.client import Client


def only_passing(error: ApiError) -> None:
    """Let through what another attempt may mend; raise the rest."""
    if error.code < 500 and error.code != 429:
        raise error


async def create_surely(client: Client, obj: TopObject) -> None:
    while True:
        try:
            await client.create(obj)
            return
        except AlreadyExists:
            return
        except ApiError as error:
            only_passing(error)


async def delete_surely(client: Client, kind: type[TopObject], name: str) -> None:
    """Until it is gone, or on its way."""
    while True:
        try:
            await client.delete(kind, name)
            return
        except NotFound:
            return
        except ApiError as error:
            only_passing(error)
