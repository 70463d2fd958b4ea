"""pod-template-hash: the label that tells apart the pods of a Deployment's ReplicaSets.

The same template always has the same hash, on every replica and after every restart. Two templates with the same one
are told apart by the Deployment's collisionCount. Whether two templates are the same is never decided by hashes.
"""

from __future__ import annotations

import hashlib

import msgspec

from apiserver.api.core.pod import PodTemplateSpec

HASH_LABEL = "pod-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, so that no word comes out
HASH_CHARACTERS = 10


def template_hash(template: PodTemplateSpec, collisions: int = 0) -> str:
    encoded = msgspec.json.encode(without_hash(template), order="deterministic")
    digest = hashlib.sha256(encoded)
    if collisions:
        digest.update(b"/%d" % collisions)
    number = int.from_bytes(digest.digest()[:16], "big")
    characters = []
    for _ in range(HASH_CHARACTERS):
        number, index = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[index])
    return "".join(characters)


def without_hash(template: PodTemplateSpec) -> PodTemplateSpec:
    return _with_labels(template, {key: value for key, value in template.metadata.labels.items() if key != HASH_LABEL})


def with_hash(template: PodTemplateSpec, hash_: str) -> PodTemplateSpec:
    """A template of its own, which shares all but its labels with the other."""
    return _with_labels(template, template.metadata.labels | {HASH_LABEL: hash_})


def same_template(left: PodTemplateSpec, right: PodTemplateSpec) -> bool:
    """Whether pods of both are the same but for the hash."""
    return left.spec == right.spec and without_hash(left).metadata == without_hash(right).metadata


def _with_labels(template: PodTemplateSpec, labels: dict[str, str]) -> PodTemplateSpec:
    return msgspec.structs.replace(template, metadata=msgspec.structs.replace(template.metadata, labels=labels))
