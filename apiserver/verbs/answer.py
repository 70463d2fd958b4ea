"""What a verb answers with, before anybody decided how it will look (JSON, a table, another version)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from apiserver.registry.resource import Resource
from apiserver.storage import Stored


class ObjectAnswer(msgspec.Struct, frozen=True):
    """One stored object; shown in the version of `resource`."""

    resource: Resource
    stored: Stored
    code: int = 200


class ListAnswer(msgspec.Struct, frozen=True):
    """A list of stored objects."""

    resource: Resource
    items: Sequence[Stored]
    revision: int
    following: str = ""
    remaining: int | None = None


class ValueAnswer(msgspec.Struct, frozen=True):
    """Anything that is not stored: a Status, a review, a Scale. Encoded as it is."""

    value: Any
    code: int = 200


Answer = ObjectAnswer | ListAnswer | ValueAnswer
