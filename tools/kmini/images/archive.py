"""OCI images as one tar archive (OCI image layout, with the name where containerd looks for it).

Every byte comes from the arguments: no time, no user, no order of a folder enters.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

NAME_ANNOTATION = "io.containerd.image.name"  # the whole reference, for containerd's import
TAG_ANNOTATION = "org.opencontainers.image.ref.name"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_EPOCH = "1970-01-01T00:00:00Z"


class ImageError(Exception):
    """An image cannot be made; the message says what is missing."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """In a layer: a file with this content, a symbolic link when there is a target, else a folder."""

    path: str  # without a leading slash
    content: bytes | None = None
    target: str = ""
    mode: int = 0o755


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """The image for one architecture (amd64, arm64). `config` is OCI's: Entrypoint, Env, User, ..."""

    architecture: str
    entries: Sequence[Entry]
    config: Mapping[str, Any]


def image_archive(reference: str, variants: Sequence[Variant]) -> bytes:
    """One image for all these architectures."""
    blobs: dict[str, bytes] = {}
    manifests = [_manifest(variant, blobs) for variant in variants]
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
    image = _blob(_INDEX, _json(index), blobs)
    image["annotations"] = {NAME_ANNOTATION: reference, TAG_ANNOTATION: reference.rpartition(":")[2]}
    top = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [image]}
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(top), **blobs}
    folders = [Entry(path=path) for path in ("blobs", "blobs/sha256")]
    return tar(folders + [Entry(path=path, content=content, mode=0o644) for path, content in sorted(files.items())])


def tar(entries: Iterable[Entry]) -> bytes:
    """In the order given, all of root, at the epoch."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mode = entry.mode
            if entry.content is not None:
                member.size = len(entry.content)
            elif entry.target:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.target, 0o777
            else:
                member.type = tarfile.DIRTYPE
            archive.addfile(member, io.BytesIO(entry.content or b""))
    return buffer.getvalue()


def _manifest(variant: Variant, blobs: dict[str, bytes]) -> dict[str, Any]:
    layer = _blob(_LAYER, tar(variant.entries), blobs)
    config = {
        "architecture": variant.architecture,
        "os": "linux",
        "created": _EPOCH,
        "config": dict(variant.config),
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},  # not compressed: the digest is the layer's own
        "history": [{"created": _EPOCH, "created_by": "kmini"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _blob(_CONFIG, _json(config), blobs),
        "layers": [layer],
    }
    descriptor = _blob(_MANIFEST, _json(manifest), blobs)
    descriptor["platform"] = {"architecture": variant.architecture, "os": "linux"}
    return descriptor


def _blob(media_type: str, content: bytes, blobs: dict[str, bytes]) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    blobs[f"blobs/sha256/{digest}"] = content
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
