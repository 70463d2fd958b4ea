"""Kubeconfig files, and the place where pods find their own identity, as an Access.

What this client cannot do (exec plug-ins, auth providers, proxies) is refused by name, instead of failing later
with a 401 nobody understands. Several files merge as kubectl merges them: the first to name something wins.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from .access import NOTHING, Access, Material

#: Tried after KUBECONFIG (docs/contract.md).
DEFAULT_FILES = ("~/.kube/config", "/var/lib/kmini/kubeconfig")
ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_FILE_BYTES_MAX = 1 << 20
_UNSUPPORTED_USER = ("exec", "auth-provider", "username", "password")
_UNSUPPORTED_CLUSTER = ("proxy-url",)


class _Entry(msgspec.Struct):
    """A named cluster, user or context; `folder` is where relative paths start."""

    body: dict[str, Any]
    folder: Path
    file: Path


class KubeConfig:
    """The merged content of some files."""

    def __init__(self) -> None:
        self.current_context = ""
        self._found: dict[str, dict[str, _Entry]] = {"clusters": {}, "users": {}, "contexts": {}}
        self.files: list[Path] = []

    @property
    def contexts(self) -> list[str]:
        return list(self._found["contexts"])

    def add(self, path: Path) -> None:
        """Raises ValueError naming the file and what is wrong with it; OSError."""
        content = _load(path)
        self.files.append(path)
        current = content.get("current-context")
        self.current_context = self.current_context or (current if isinstance(current, str) else "")
        for section, known in self._found.items():
            for each in _list(content, section, path):
                name, body = each.get("name"), each.get(section.removesuffix("s")) or {}
                if not isinstance(name, str) or not isinstance(body, dict):
                    raise ValueError(f"{path}: an entry of {section} has no name or no {section.removesuffix('s')}")
                known.setdefault(name, _Entry(body, path.parent, path))

    def access(self, context: str | None = None, *, user: str = "", cluster: str = "") -> Access:
        """`user` and `cluster` are entries to take instead of the context's. Raises ValueError naming what is missing
        or cannot be done."""
        name = context or self.current_context
        if not name:
            raise ValueError(f"{self._named()}: no current-context is set, and no context was asked for")
        chosen = self._get("contexts", name)
        return self._access(chosen, cluster or _text(chosen, "cluster"), user or _text(chosen, "user"))

    def _access(self, chosen: _Entry, cluster_name: str, user_name: str) -> Access:
        cluster = self._get("clusters", cluster_name)
        user = self._get("users", user_name) if user_name else _Entry({}, cluster.folder, cluster.file)
        _refuse(cluster, _UNSUPPORTED_CLUSTER)
        _refuse(user, _UNSUPPORTED_USER)
        server = _text(cluster, "server")
        if not server:
            raise ValueError(f"{cluster.file}: the cluster {cluster_name!r} names no server")
        groups = user.body.get("as-groups") or []
        return Access(
            servers=(server,),
            namespace=_text(chosen, "namespace") or "default",
            authority=_material(cluster, "certificate-authority"),
            certificate=_material(user, "client-certificate"),
            key=_material(user, "client-key"),
            token=_token(user),
            server_name=_text(cluster, "tls-server-name"),
            insecure=cluster.body.get("insecure-skip-tls-verify") is True,
            as_user=_text(user, "as"),
            as_groups=tuple(group for group in groups if isinstance(group, str)),
        )

    def _get(self, section: str, name: str) -> _Entry:
        entry = self._found[section].get(name)
        if entry is None:
            known = ", ".join(self._found[section]) or "none"
            raise ValueError(f"{self._named()}: there is no {name!r} in {section} (there is: {known})")
        return entry

    def _named(self) -> str:
        return ", ".join(map(str, self.files)) or "no kubeconfig"


def find_files(path: str | Path | None, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The files that count: the one asked for, else those of KUBECONFIG that are there, else the first default.

    Raises FileNotFoundError saying where was looked.
    """
    if path is not None:
        return [Path(path).expanduser()]
    listed = [Path(each).expanduser() for each in environment.get("KUBECONFIG", "").split(os.pathsep) if each]
    found = [each for each in listed if each.exists()]
    if listed and not found:
        raise FileNotFoundError(f"KUBECONFIG names no file that is there: {environment['KUBECONFIG']}")
    if found:
        return found
    defaults = [Path(each).expanduser() for each in DEFAULT_FILES]
    readable = [each for each in defaults if os.access(each, os.R_OK)]
    if not readable:
        raise FileNotFoundError(f"no kubeconfig: KUBECONFIG is not set, and none of {', '.join(map(str, defaults))}")
    return readable[:1]


def load(path: str | Path | None = None, context: str | None = None) -> Access:
    """Raises ValueError, FileNotFoundError and other OSError."""
    config = KubeConfig()
    for each in find_files(path):
        config.add(each)
    return config.access(context)


def in_cluster(environment: Mapping[str, str] = os.environ, folder: Path = ACCOUNT_DIR) -> Access:
    """Where a pod finds its service account. Raises ValueError when this is no pod."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port or not (folder / "token").exists():
        raise ValueError(f"this is no pod with a service account: KUBERNETES_SERVICE_HOST or {folder}/token is missing")
    try:
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        namespace = ""
    return Access(
        servers=(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",),
        namespace=namespace or "default",
        authority=Material(file=folder / "ca.crt"),
        token=Material(file=folder / "token"),
    )


def _load(path: Path) -> dict[str, Any]:
    import yaml

    with path.open("rb") as file:
        raw = file.read(_FILE_BYTES_MAX + 1)
    if len(raw) > _FILE_BYTES_MAX:
        raise ValueError(f"{path} is larger than {_FILE_BYTES_MAX} bytes: that is no kubeconfig")
    try:
        content = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (both are safe)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no kubeconfig: it holds no mapping")
    return content


def _list(content: dict[str, Any], section: str, path: Path) -> list[dict[str, Any]]:
    found = content.get(section) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"{path}: {section} must be a list of mappings")
    return found


def _text(entry: _Entry, key: str) -> str:
    found = entry.body.get(key)
    return found if isinstance(found, str) else ""


def _refuse(entry: _Entry, keys: tuple[str, ...]) -> None:
    for key in keys:
        if entry.body.get(key):
            raise ValueError(f"{entry.file}: {key} is not supported; use a client certificate or a token")


def _material(entry: _Entry, key: str) -> Material:
    """`key-data` wins over `key`, as in kubectl."""
    data = _text(entry, f"{key}-data")
    if data:
        try:
            return Material(data=base64.b64decode(data, validate=True))
        except binascii.Error:
            raise ValueError(f"{entry.file}: {key}-data is no base64") from None
    name = _text(entry, key)
    return Material(file=entry.folder / Path(name).expanduser()) if name else NOTHING


def _token(user: _Entry) -> Material:
    """The file wins, because it is the one that is rotated (as in kubectl)."""
    name = _text(user, "tokenFile")
    if name:
        return Material(file=user.folder / Path(name).expanduser())
    return Material(data=_text(user, "token").encode())
