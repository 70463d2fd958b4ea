"""The admin's kubeconfig: certificate and key of the admin inside, one context per server, mode 0600.

Written at start and again whenever the admin's certificate is renewed. It is YAML that is JSON too, so it takes no
library to write.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from apiserver.auth import pki

from .addresses import is_unspecified, join_host_port

USER = "kmini-admin"


def server_url(*, advertise_address: str | None, bind: str, api_port: int) -> str:
    """`https://host:port` as clients reach a server: the address it was told to advertise, else the one it binds.

    127.0.0.1 (or ::1) for a server that binds every address and was told of none.
    """
    host = advertise_address or bind
    if is_unspecified(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"https://{join_host_port(host, api_port)}"


def document(servers: Mapping[str, str], *, folder: Path, current: str = "") -> bytes:
    """A kubeconfig with one cluster and one context for each of `servers` (name → URL).

    `folder` is DIR/pki; `current` is the context in use, else the first. Blocking; raises OSError.
    """

    def embedded(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    authority = embedded("ca.crt")
    clusters = [
        {"name": name, "cluster": {"server": url, "certificate-authority-data": authority}}
        for name, url in servers.items()
    ]
    contexts = [{"name": name, "context": {"cluster": name, "user": USER}} for name in servers]
    user = {"client-certificate-data": embedded("admin.crt"), "client-key-data": embedded("admin.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "users": [{"name": USER, "user": user}],
        "contexts": contexts,
        "current-context": current or next(iter(servers)),
    }
    return json.dumps(config, indent=1).encode() + b"\n"


def write(path: Path, servers: Mapping[str, str], *, folder: Path, current: str = "") -> None:
    """Write a kubeconfig, mode 0600, if it is not there as it should be. Blocking; raises OSError."""
    content = document(servers, folder=folder, current=current)
    try:
        if path.read_bytes() == content and path.stat().st_mode & 0o777 == 0o600:
            return
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    pki.write_file(path, content, secret=True)
