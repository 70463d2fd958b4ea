"""What is in an archive of images: OCI image layouts, and what `docker save` writes.

Archives come from a folder that only the node's administrator writes to; all the same nothing in one is believed: sizes
are bounded, no path is followed, and whoever takes a blob checks its digest.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal, TypeVar

import msgspec

NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_KEEPS = "containerd.io/gc.ref.content"  # a blob with this label keeps another one
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER, _LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"
_DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
_ENTRIES_MAX = 10_000
_DEPTH_MAX = 4
_CHUNK_BYTES = 1024 * 1024
_GZIP = b"\x1f\x8b"

Found = TypeVar("Found")


class BadArchive(Exception):
    """It is no archive of images; the message says why."""


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """OCI's: what points to a blob."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """`member` is where it is in the archive; else `content` is all of it. `labels` keep what it points to."""

    digest: str
    size: int
    member: str = ""
    content: bytes = b""
    labels: dict[str, str] = {}


class ArchivedImage(msgspec.Struct, frozen=True, kw_only=True):
    """`blobs` in the order in which they can be stored: what is pointed to comes first."""

    name: str
    target: Descriptor
    blobs: list[Blob]


class Archive:
    """Of an open file, which must stay open. Raises BadArchive, also later while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        what = "no tar archive"
        mode: Literal["r:gz", "r:"] = "r:gz" if packed else "r:"
        self._tar = _told(what, lambda: tarfile.open(fileobj=file, mode=mode))  # noqa: SIM115  # the caller closes
        self._members = _told(what, lambda: {each.name.removeprefix("./"): each for each in self._bounded()})

    def images(self) -> list[ArchivedImage]:
        """Those that have a name."""
        found: list[ArchivedImage] = []
        if "index.json" in self._members:
            found = list(self._oci())
        if not found and "manifest.json" in self._members:
            found = list(self._docker())
        if not found:
            raise BadArchive("no image with a name in it")
        return found

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Its bytes, piece by piece."""
        file = self._open(blob.member) if blob.member else io.BytesIO(blob.content)
        while piece := _told(f"{blob.digest} cannot be read", lambda: file.read(_CHUNK_BYTES)):
            yield piece

    # --- OCI ----------------------------------------------------------------------------------------------

    def _oci(self) -> Iterator[ArchivedImage]:
        top = self._document("index.json")
        for each in _list(top, "manifests"):
            descriptor = _descriptor(each)
            name = descriptor.annotations.get(NAME) or descriptor.annotations.get(_REF_NAME, "")
            if ":" in name or "/" in name:
                blobs: dict[str, Blob] = {}
                self._collect(descriptor, blobs, depth=0)
                yield ArchivedImage(name=full_name(name), target=descriptor, blobs=list(blobs.values()))

    def _collect(self, descriptor: Descriptor, blobs: dict[str, Blob], *, depth: int) -> None:
        """What it points to, then itself. Variants for machines that are not in the archive are left out."""
        if descriptor.digest in blobs:
            return
        if depth > _DEPTH_MAX or len(blobs) > _ENTRIES_MAX:
            raise BadArchive("it points to itself")
        member = _member(descriptor.digest)
        kept: list[Descriptor] = []
        if descriptor.media_type in _INDEXES:
            listed = [_descriptor(each) for each in _list(self._document(member), "manifests")]
            kept = [each for each in listed if _member(each.digest) in self._members]
        elif "manifest" in descriptor.media_type:
            manifest = self._document(member)
            kept = [_descriptor(manifest.get("config")), *map(_descriptor, _list(manifest, "layers"))]
        for each in kept:
            self._collect(each, blobs, depth=depth + 1)
        labels = {f"{_KEEPS}.{number}": each.digest for number, each in enumerate(kept)}
        size = self._member(member).size
        blobs[descriptor.digest] = Blob(digest=descriptor.digest, size=size, member=member, labels=labels)

    # --- docker save --------------------------------------------------------------------------------------

    def _docker(self) -> Iterator[ArchivedImage]:
        for each in _documents(self._read("manifest.json")):
            names = [full_name(name) for name in each.get("RepoTags") or () if isinstance(name, str)]
            if names:
                blobs, target = self._as_oci(each)
                for name in names:
                    yield ArchivedImage(name=name, target=target, blobs=blobs)

    def _as_oci(self, image: dict[str, Any]) -> tuple[list[Blob], Descriptor]:
        """The manifest that the archive has not."""
        config = self._hashed(str(image.get("Config")))
        layers = [self._hashed(str(each)) for each in _list(image, "Layers")]
        kinds = [_LAYER_GZIP if self._starts_with(each.member, _GZIP) else _LAYER for each in layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": config.digest, "size": config.size},
            "layers": [
                {"mediaType": kind, "digest": each.digest, "size": each.size}
                for kind, each in zip(kinds, layers, strict=True)
            ],
        }
        content = msgspec.json.encode(manifest)
        parts = {each.digest: each for each in (config, *layers)}
        labels = {f"{_KEEPS}.{number}": digest for number, digest in enumerate(parts)}
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        made = Blob(digest=digest, size=len(content), content=content, labels=labels)
        return [*parts.values(), made], Descriptor(_MANIFEST, digest, len(content))

    def _hashed(self, member: str) -> Blob:
        found = hashlib.sha256()
        for piece in self.chunks(Blob(digest=member, size=0, member=member)):
            found.update(piece)
        return Blob(digest=f"sha256:{found.hexdigest()}", size=self._member(member).size, member=member)

    def _starts_with(self, member: str, words: bytes) -> bool:
        return _told(f"{member} cannot be read", lambda: self._open(member).read(len(words))) == words

    # --- files --------------------------------------------------------------------------------------------

    def _bounded(self) -> Iterator[tarfile.TarInfo]:
        for number, member in enumerate(self._tar):
            if number >= _ENTRIES_MAX:
                raise BadArchive(f"more than {_ENTRIES_MAX} files in it")
            yield member

    def _member(self, name: str) -> tarfile.TarInfo:
        try:
            found = self._members[name]
        except KeyError:
            raise BadArchive(f"{name} is missing in it") from None
        for _ in range(_DEPTH_MAX):  # docker save links layers that it has twice
            if not found.issym() and not found.islnk():
                return found
            target = found.linkname.removeprefix("../")
            if target not in self._members:
                break
            found = self._members[target]
        raise BadArchive(f"{name} is no file in it")

    def _open(self, name: str) -> IO[bytes]:
        file = self._tar.extractfile(self._member(name))
        if file is None:
            raise BadArchive(f"{name} is no file in it")
        return file

    def _read(self, name: str) -> bytes:
        if self._member(name).size > _DOCUMENT_BYTES_MAX:
            raise BadArchive(f"{name} is too large")
        return _told(f"{name} cannot be read", lambda: self._open(name).read())

    def _document(self, name: str) -> dict[str, Any]:
        return _told(name, lambda: msgspec.json.decode(self._read(name), type=dict[str, Any]))


def full_name(name: str) -> str:
    """With registry and tag: `busybox` is `docker.io/library/busybox:latest`."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def _told(what: str, work: Callable[[], Found]) -> Found:
    """Its result; whatever libraries say of bytes that make no sense becomes one sentence."""
    try:
        return work()
    except (tarfile.TarError, zlib.error, msgspec.DecodeError, UnicodeDecodeError, OSError, EOFError) as error:
        raise BadArchive(f"{what}: {error}") from error


def _documents(content: bytes) -> list[dict[str, Any]]:
    return _told("manifest.json", lambda: msgspec.json.decode(content, type=list[dict[str, Any]]))


def _descriptor(value: object) -> Descriptor:
    try:
        return msgspec.convert(value, Descriptor)
    except msgspec.ValidationError as error:
        raise BadArchive(f"a descriptor: {error}") from error


def _list(document: dict[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise BadArchive(f"{name} is no list")
    return found


def _member(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
