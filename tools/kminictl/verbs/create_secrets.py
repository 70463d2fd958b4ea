"""`create secret generic|tls|docker-registry`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import Verbs, verb
from ..failures import CommandError
from .create_config import Sources, _bytes, from_sources
from .creating import generated, generator

if TYPE_CHECKING:
    from ..cluster.session import Session


@click.group("secret", cls=Verbs)
def secret() -> None:
    """Create a secret."""


def _secret(name: str, data: dict[str, bytes], type_: str) -> dict[str, Any]:
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    if data:
        obj["data"] = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return obj | ({"type": type_} if type_ else {})


@secret.command("generic")
@click.argument("name")
@from_sources
@click.option("--type", "type_", default="", help="What kind of secret it is.")
@generator
@verb
async def generic(
    session: Session,
    name: str,
    files: tuple[str, ...],
    literals: tuple[str, ...],
    env_files: tuple[str, ...],
    type_: str,
    **settings: Any,
) -> None:
    """Create a secret from files, folders and literals."""
    await generated(session, "secret", _secret(name, Sources(files, literals, env_files).data, type_), settings)


@secret.command("tls")
@click.argument("name")
@click.option("--cert", required=True, help="File with the certificate, PEM.")
@click.option("--key", required=True, help="File with its key, PEM.")
@generator
@verb
async def tls(session: Session, name: str, cert: str, key: str, **settings: Any) -> None:
    """Create a secret with a certificate and its key."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    data = {"tls.crt": _bytes(Path(cert)), "tls.key": _bytes(Path(key))}
    try:
        context.load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        raise CommandError(f"{cert} and {key} are no certificate and its key: {error}") from None
    await generated(session, "secret", _secret(name, data, "kubernetes.io/tls"), settings)


@secret.command("docker-registry")
@click.argument("name")
@click.option("--docker-server", "server", default="https://index.docker.io/v1/")
@click.option("--docker-username", "username", default="")
@click.option("--docker-password", "password", default="")
@click.option("--docker-email", "email", default="")
@generator
@verb
async def docker_registry(
    session: Session, name: str, server: str, username: str, password: str, email: str, **settings: Any
) -> None:
    """Create a secret to pull images with."""
    if not username or not password:
        raise CommandError(
            "either --from-file or the combination of --docker-username, --docker-password and --docker-server is "
            "required"
        )
    login = {"username": username, "password": password}
    if email:
        login["email"] = email
    login["auth"] = base64.b64encode(f"{username}:{password}".encode()).decode()
    config = json.dumps({"auths": {server: login}}, separators=(",", ":")).encode()
    obj = _secret(name, {".dockerconfigjson": config}, "kubernetes.io/dockerconfigjson")
    await generated(session, "secret", obj, settings)
