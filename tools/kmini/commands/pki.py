"""`kmini pki`: keys and certificates that replicas share, and client certificates made from them."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import CommandError
from ..options import command

_folder = click.Path(file_okay=False, path_type=Path)


@click.group("pki")
def pki() -> None:
    """Make the keys and certificates that replicas share."""


@command("init")
@click.option("--ca-dir", type=_folder, required=True, help="Folder to write to; give it to each server as --ca-dir.")
def init(ca_dir: Path) -> None:
    """Make the cluster CA, the peer CA, the ServiceAccount key and the encryption key ring.

    Idempotent: what is there is checked and kept. The folder holds the cluster's secrets.
    """
    from apiserver.auth.keyring import PkiError
    from apiserver.auth.pki import init_shared

    try:
        init_shared(ca_dir)
    except (PkiError, OSError) as error:
        raise CommandError(str(error)) from error
    click.echo(f"shared keys and certificates are in {ca_dir}")


@command("client")
@click.option("--ca-dir", type=_folder, required=True, help="Folder with ca.crt and ca.key (DIR/pki of a server).")
@click.option("--user", required=True, help="The user's name (the certificate's common name).")
@click.option("--group", "groups", multiple=True, help="A group, for instance kmini:etcd. Repeatable.")
@click.option("--out-dir", type=_folder, default=Path(), help="Where USER.crt and USER.key go.", show_default="here")
def client(ca_dir: Path, user: str, groups: tuple[str, ...], out_dir: Path) -> None:
    """Issue a client certificate, valid for a year."""
    from apiserver.auth.keyring import PkiError
    from apiserver.auth.pki import CLUSTER_CA, issue_client, load_authority, write_pair

    if not user or "/" in user or user.startswith("."):
        raise click.BadParameter("must be a plain file name", param_hint="--user")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        write_pair(out_dir, user, issue_client(load_authority(ca_dir, CLUSTER_CA), user, groups))
    except (PkiError, OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    click.echo(f"{out_dir / user}.crt and {out_dir / user}.key")


pki.add_command(init)
pki.add_command(client)
