"""Objects from files, folders and standard input: YAML and JSON, several documents, Lists taken apart.

Safe YAML only, read as kubectl reads it: times stay text, keys become text. Sizes are bounded; aliases cannot blow a
document up, for its nodes are counted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..failures import CommandError

BYTES_MAX = 32 << 20
NODES_MAX = 2_000_000
FILES_MAX = 10_000
_SUFFIXES = (".json", ".yaml", ".yml")
STDIN = "STDIN"


class Manifest(msgspec.Struct):
    """`source` is the file as it was named, or STDIN."""

    object: dict[str, Any]
    source: str

    @property
    def api_version(self) -> str:
        return str(self.object.get("apiVersion") or "")

    @property
    def kind(self) -> str:
        return str(self.object.get("kind") or "")

    @property
    def metadata(self) -> dict[str, Any]:
        found = self.object.get("metadata")
        return found if isinstance(found, dict) else {}

    @property
    def name(self) -> str:
        return str(self.metadata.get("name") or "")

    @property
    def namespace(self) -> str:
        return str(self.metadata.get("namespace") or "")


def read(paths: tuple[str, ...], *, recursive: bool = False) -> list[Manifest]:
    """In their order. Raises CommandError naming the file and what is wrong with it."""
    return [manifest for path in paths for manifest in _read_one(path, recursive)]


def _read_one(path: str, recursive: bool) -> Iterator[Manifest]:
    if path == "-":
        yield from documents(sys.stdin.buffer.read(BYTES_MAX + 1), STDIN)
        return
    if path.startswith(("http://", "https://")):
        raise CommandError(f"manifests are not fetched from addresses: download {path}, and name the file")
    place = Path(path)
    if not place.exists():
        raise CommandError(f'the path "{path}" does not exist')
    for file in _files(place, recursive) if place.is_dir() else [place]:
        try:
            with file.open("rb") as opened:
                raw = opened.read(BYTES_MAX + 1)
        except OSError as error:
            raise CommandError(f"open {file}: {(error.strerror or str(error)).lower()}") from None
        yield from documents(raw, str(file))


def _files(folder: Path, recursive: bool) -> list[Path]:
    found = sorted(folder.rglob("*") if recursive else folder.iterdir())
    files = [each for each in found if each.suffix in _SUFFIXES and each.is_file()]
    if not files:
        raise CommandError(
            f"error reading [{folder}]: recognized file extensions are [.json .yaml .yml]",
        )
    if len(files) > FILES_MAX:
        raise CommandError(f"{folder} holds more than {FILES_MAX} manifests")
    return files


def documents(raw: bytes, source: str) -> Iterator[Manifest]:
    """What a file's bytes hold. Raises CommandError."""
    if len(raw) > BYTES_MAX:
        raise CommandError(f"{source} is larger than {BYTES_MAX} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"error parsing {source}: {error}") from None
    for document in _json(text, source) if text.lstrip().startswith("{") else _yaml(text, source):
        if document is not None:
            yield from _expanded(document, source)


def _expanded(document: Any, source: str) -> Iterator[Manifest]:
    """Raises CommandError for what is no object of the API."""
    if not isinstance(document, dict):
        raise CommandError(f"error parsing {source}: a document is no mapping")
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str) or not document[field]:
            raise CommandError(
                f'error validating "{source}": error validating data: {field} not set; '
                "if you choose to ignore these errors, turn validation off with --validate=false"
                if field == "apiVersion"
                else f"unable to decode \"{source}\": Object 'Kind' is missing in '{_shown(document)}'"
            )
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _expanded(item, source)
    else:
        yield Manifest(document, source)


def _shown(document: Any) -> str:
    from ..output import gojson

    return gojson.compact(document)[:200]


def _json(text: str, source: str) -> Iterator[Any]:
    """One after the other, with nothing but white space in between."""
    decoder, position = json.JSONDecoder(), 0
    text = text.rstrip()
    while position < len(text):
        begin = position
        while begin < len(text) and text[begin].isspace():
            begin += 1
        try:
            found, position = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            yield from _yaml(text[begin:], source)  # YAML in flow style, or a clear word about what is wrong
            return
        yield found


def _yaml(text: str, source: str) -> Iterator[Any]:
    import yaml

    from .yaml_loading import Loader

    counter = [NODES_MAX]
    try:
        for document in yaml.load_all(text, Loader=Loader):
            yield _plain(document, counter)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandError(
            f"error parsing {source}: error converting YAML to JSON: {' '.join(str(error).split())}"
        ) from None


def _plain(value: Any, counter: list[int]) -> Any:
    """As JSON has it: keys are text. Raises ValueError when aliases make it too large."""
    counter[0] -= 1
    if counter[0] < 0:
        raise ValueError(f"a document has more than {NODES_MAX} nodes")
    if isinstance(value, dict):
        return {_key(key): _plain(each, counter) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, counter) for each in value]
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if not isinstance(key, str | int | float):
        raise ValueError(f"a key is no text: {key!r}")
    return str(key)
