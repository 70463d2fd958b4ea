"""Names of images, as docker made them: `nginx` is `docker.io/library/nginx:latest`."""

from __future__ import annotations

import re

DEFAULT_HOST, _DEFAULT_FOLDER = "docker.io", "library"
_OTHER_DEFAULT_HOST = "index.docker.io"
NAME_CHARACTERS_MAX = 255

_HOST = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_ADDRESS = rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_reference_re = re.compile(rf"({_ADDRESS}/{_PART}(?:/{_PART})*)(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII)
_id_re = re.compile(r"[a-f0-9]{64}")


def repository_of(image: str) -> str:
    """Host and path, without tag and digest. Raises ValueError in the words that Kubernetes has from docker."""
    if _id_re.fullmatch(image):
        raise ValueError(f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings")
    host, path = _split(image)
    shown = path.partition(":")[0]
    if shown != shown.lower():
        raise ValueError(f"invalid reference format: repository name ({shown}) must be lowercase")
    match = _reference_re.fullmatch(f"{host}/{path}")
    if match is None:
        raise ValueError("invalid reference format")
    if len(match[1]) > NAME_CHARACTERS_MAX:
        raise ValueError(f"repository name must not be more than {NAME_CHARACTERS_MAX} characters")
    return match[1]


def registry_of(image: str) -> str:
    """The host, with its port. Raises ValueError."""
    return repository_of(image).partition("/")[0]


def _split(image: str) -> tuple[str, str]:
    """What stands before the first slash is a host if it looks like one."""
    host, slash, path = image.partition("/")
    if not slash or not (set(".:") & set(host) or host == "localhost" or host != host.lower()):
        host, path = DEFAULT_HOST, image
    if host == _OTHER_DEFAULT_HOST:
        host = DEFAULT_HOST
    return host, f"{_DEFAULT_FOLDER}/{path}" if host == DEFAULT_HOST and "/" not in path else path
