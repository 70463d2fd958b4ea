"""`kmini snapshot`: save, verify and restore a backup."""

from __future__ import annotations

import datetime
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..addresses import PORT, Address, Name, join_host_port, own_address
from ..errors import CommandError
from ..layout import Layout
from ..options import command, data_dir_option, option, output_option
from ..passphrase import passphrase, passphrase_option

if TYPE_CHECKING:
    from raftstore.snapshot import Manifest

_file = click.Path(dir_okay=False, path_type=Path)
_existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("snapshot", context_settings={"help_option_names": ["-h", "--help"]})
def snapshot() -> None:
    """Save, verify and restore a backup."""


@command("save")
@click.argument("file", type=_file)
@data_dir_option
@click.option("--with-keys", type=_file, help="Also save the keys that replicas share, sealed under a passphrase.")
@passphrase_option
@output_option
def save(file: Path, data_dir: Path, with_keys: Path | None, passphrase_file: Path | None, output: str) -> None:
    """Save the state of the running replica to FILE: whole and verified, or not at all."""
    from .. import shared_keys
    from ..snapshots import save_from

    layout = Layout(data_dir.absolute())
    running = layout.running()
    if running is None:
        raise CommandError(f"nothing runs in {layout.data_dir}")
    secret = passphrase(passphrase_file, new=True) if with_keys is not None else ""
    manifest = save_from(running, layout.pki, file)
    if with_keys is not None:
        shared_keys.save(layout.pki, with_keys, secret)
    else:
        click.echo(
            "warning: the backup holds Secrets only encrypted: without the keys, which --with-keys FILE saves, "
            "nobody can read them again",
            err=True,
        )
    _print(manifest, f"saved {file}", output)


@command("verify")
@click.argument("file", type=_existing_file)
@output_option
def verify(file: Path, output: str) -> None:
    """Read FILE whole and hold it against its digests. Takes files of `etcdctl snapshot save` too."""
    from ..snapshots import verify_file

    _print(verify_file(file), f"{file} is good", output)


@command("restore")
@click.argument("file", type=_existing_file)
@data_dir_option
@option("--name", type=Name(), help="The new cluster's first member. [default: the one that was backed up]")
@option("--advertise-address", type=Address(), help="Address the others will reach it at.")
@option("--peer-port", type=PORT, default=2380, help="Its peer port.")
@click.option("--keys", type=_existing_file, help="The file that `save --with-keys` wrote.")
@passphrase_option
@output_option
def restore(
    file: Path,
    data_dir: Path,
    name: str | None,
    advertise_address: str | None,
    peer_port: int,
    keys: Path | None,
    passphrase_file: Path | None,
    output: str,
) -> None:
    """Make an empty data directory that of a new cluster with FILE's state.

    The cluster id is a new one, so members of the old cluster are refused, and the revision is raised by
    1,000,000,000, so that every watcher lists anew.
    """
    from ..snapshots import restore_file

    address = join_host_port(advertise_address or own_address(), peer_port)
    layout = Layout(data_dir.absolute())
    ask = partial(passphrase, passphrase_file, new=False)
    manifest = restore_file(file, layout, name=name, address=address, keys=keys, passphrase=ask)
    _print(manifest, f"restored into {layout.data_dir}", output)
    if output == "text":
        click.echo(f"start it: kmini server --name {manifest.member_name} --data-dir {layout.data_dir}")


def _print(manifest: Manifest, done: str, output: str) -> None:
    taken = datetime.datetime.fromtimestamp(manifest.taken_at_s, datetime.UTC).isoformat(timespec="seconds")
    facts = {
        "cluster_id": f"{manifest.cluster_id:016x}",
        "member_name": manifest.member_name,
        "revision": manifest.revision,
        "compact_revision": manifest.compact_revision,
        "index": manifest.index,
        "term": manifest.term,
        "size_bytes": manifest.size,
        "sha256": manifest.sha256,
        "taken_at": taken,
    }
    if output == "json":
        click.echo(json.dumps(facts))
    else:
        click.echo(
            f"{done}: revision {manifest.revision} of cluster {manifest.cluster_id:016x}, "
            f"{manifest.size:,} bytes, taken {taken} by {manifest.member_name}"
        )


for each in (save, verify, restore):
    snapshot.add_command(each)
