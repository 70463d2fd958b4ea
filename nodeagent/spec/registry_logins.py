"""With which credentials an image is pulled: what pull secrets hold, in docker's form, and which of it is for whom.

The rules are Kubernetes': a host may have wildcards in its labels, a path is a prefix, the most exact comes first.
What is in a secret is shown nowhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import msgspec

from apiserver.api.core.config import Secret
from nodeagent.runtime.interface import Credentials

from .image_names import DEFAULT_HOST, repository_of

_DOCKER_HUB = "index.docker.io"  # under which docker's client files its own registry
CONTENT_BYTES_MAX = 1 << 20  # what a Secret may hold
_TEXT_CHARACTERS_MAX = -(-CONTENT_BYTES_MAX // 3) * 4  # in base64
PLACES_MAX = 1_000
#: Type of a secret, its key, and whether what is there is wrapped in `auths`.
_FORMS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson", True),
    "kubernetes.io/dockercfg": (".dockercfg", False),
}


class _Login(msgspec.Struct, frozen=True):
    username: str = ""
    password: str = ""
    auth: str = ""

    def __repr__(self) -> str:
        return "_Login()"


class _Config(msgspec.Struct, frozen=True):
    auths: dict[str, _Login] = {}

    def __repr__(self) -> str:
        return "_Config()"


class Place(msgspec.Struct, frozen=True):
    """`where` is a host, perhaps with a port and a path: no scheme."""

    where: str
    credentials: Credentials


def places_of(secret: Secret) -> list[Place]:
    """Raises ValueError that says what is wrong, and nothing of what is in it."""
    form = _FORMS.get(secret.type)
    if form is None:
        raise ValueError(f"its type is {secret.type!r}, not one of {', '.join(_FORMS)}")
    key, wrapped = form
    text = secret.data.get(key)
    if text is None:
        raise ValueError(f"it has no {key}")
    if len(text) > _TEXT_CHARACTERS_MAX:
        raise ValueError(f"{key} is longer than {CONTENT_BYTES_MAX} bytes")
    try:
        content = base64.b64decode(text)
        logins = (
            msgspec.json.decode(content, type=_Config).auths
            if wrapped
            else msgspec.json.decode(content, type=dict[str, _Login])
        )
    except (ValueError, RecursionError):
        raise ValueError(f"{key} is not in docker's form") from None  # its words may show what is in it
    if len(logins) > PLACES_MAX:
        raise ValueError(f"{key} names more than {PLACES_MAX} registries")
    return [Place(_where(name), _credentials(login, key)) for name, login in logins.items()]


def _where(name: str) -> str:
    """`/v1/` and `/v2/` of a URL mean the whole registry."""
    try:
        found = urlsplit(name if name.startswith(("http://", "https://")) else f"https://{name}")
    except ValueError:
        raise ValueError("it names a registry that is no URL") from None
    path = found.path[3:] if found.path.startswith(("/v1/", "/v2/")) else found.path
    return found.netloc + (path if path != "/" else "")


def _credentials(login: _Login, key: str) -> Credentials:
    if not login.auth:
        return Credentials(username=login.username, password=login.password)
    try:
        username, colon, password = base64.b64decode(login.auth, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise ValueError(f"{key} has an `auth` that is not `user:password` in base64") from None
    return Credentials(username=username, password=password)


def credentials_for(image: str, places: Sequence[Place]) -> list[Credentials]:
    """Each once, the most exact place first. None for what is no image's name."""
    try:
        repository = repository_of(image)
    except ValueError:
        return []
    ordered = sorted(places, key=lambda each: each.where, reverse=True)
    found = [each.credentials for each in ordered if matches(each.where, repository)]
    if not found and repository.startswith(f"{DEFAULT_HOST}/"):
        found = [each.credentials for each in ordered if each.where == _DOCKER_HUB]
    return list({(each.username, each.password): each for each in found}.values())


def matches(where: str, repository: str) -> bool:
    """Label by label, so that no wildcard stands for a dot."""
    host, _, path = where.partition("/")
    asked_host, _, asked_path = repository.partition("/")
    name, _, port = host.partition(":")
    asked_name, _, asked_port = asked_host.partition(":")
    labels, asked_labels = name.split("."), asked_name.split(".")
    same_host = len(labels) == len(asked_labels) and all(map(fnmatchcase, asked_labels, labels))
    return same_host and port == asked_port and asked_path.startswith(path)
