"""core/v1 ConfigMap and Secret: files and variables for pods; Secrets are encrypted at rest and never shown in logs."""

from __future__ import annotations

from apiserver.api.base import Base64, StringMap
from apiserver.api.meta import TopObject


class ConfigMap(TopObject):
    """Settings for pods to read as files or variables.

    immutable: True refuses every change of the content from then on.
    data: Text by key.
    binary_data: Bytes by key; a key is in data or here, not in both.
    """

    immutable: bool | None = None
    data: StringMap = {}
    binary_data: dict[str, Base64] = {}


class Secret(TopObject):
    """Settings that others must not read: passwords, keys, tokens.

    immutable: True refuses every change of the content from then on.
    data: Bytes by key.
    string_data: Text by key, for writing only: it goes into data.
    type: What the Secret is for, which says what keys it must have; cannot be changed.
    """

    immutable: bool | None = None
    data: dict[str, Base64] = {}
    string_data: StringMap = {}
    type: str = ""

    def __repr__(self) -> str:
        """Without the content: a repr ends in logs."""
        return f"Secret({self.metadata.namespace}/{self.metadata.name}, {len(self.data)} keys)"
