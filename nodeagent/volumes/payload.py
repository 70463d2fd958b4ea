"""The files that a volume is to have, by their paths; pure. Made of ConfigMaps, Secrets, the pod itself, and tokens."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from apiserver.api.core.config import ConfigMap, Secret
from apiserver.api.core.volumes import KeyToPath

from .failures import CannotMount

MODE = 0o644
PATH_BYTES_MAX = 4096
NAME_BYTES_MAX = 255


class File(msgspec.Struct, frozen=True, kw_only=True):
    """`user`: whose it is, when not root's. The content is never shown."""

    content: bytes
    mode: int
    user: int | None = None

    def __repr__(self) -> str:
        return f"File({len(self.content)} bytes, {self.mode:o})"


#: By paths that `check` lets through.
Payload = Mapping[str, File]


def check(path: str) -> None:
    """The API server checks too; here what gets through would be written somewhere as root. Raises CannotMount."""
    parts = path.split("/")
    if not path or path.startswith("/"):
        problem = "must be relative"
    elif len(path.encode()) > PATH_BYTES_MAX:
        problem = f"must have at most {PATH_BYTES_MAX} bytes"
    elif "\0" in path or any(part in ("", ".", "..") for part in parts):
        problem = "must have names alone between its slashes"
    elif parts[0].startswith(".."):
        problem = 'must not start with ".."'  # such names are the writer's
    elif any(len(part.encode()) > NAME_BYTES_MAX for part in parts):
        problem = f"must have names of at most {NAME_BYTES_MAX} bytes"
    else:
        return
    raise CannotMount(f'invalid path "{path}": {problem}')


def of_config_map(found: ConfigMap) -> dict[str, bytes]:
    return {key: text.encode() for key, text in found.data.items()} | _decoded(found.binary_data)


def of_secret(found: Secret) -> dict[str, bytes]:
    return _decoded(found.data)


def _decoded(data: Mapping[str, str]) -> dict[str, bytes]:
    try:
        return {key: base64.b64decode(text) for key, text in data.items()}
    except binascii.Error:
        raise CannotMount("a value is not in base64") from None


def selected(
    contents: Mapping[str, bytes], items: Sequence[KeyToPath], *, mode: int | None, optional: bool, what: str
) -> dict[str, File]:
    """All under their own names, or those of `items`. `what` names the source in messages. Raises CannotMount."""
    usual = MODE if mode is None else mode
    if not items:
        return {key: File(content=content, mode=usual) for key, content in contents.items()}
    found = {}
    for item in items:
        if item.key in contents:
            found[item.path] = File(content=contents[item.key], mode=usual if item.mode is None else item.mode)
        elif not optional:
            raise CannotMount(f"{what} references non-existent config key: {item.key}")
    return found


def merged(payloads: Iterable[Payload]) -> Payload:
    """Of one path the last counts."""
    return {path: file for payload in payloads for path, file in payload.items()}
