"""`kmini keys`: the keys under which objects are encrypted at rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..layout import Layout
from ..options import command, data_dir_option, output_option

STEP_TIMEOUT_S = 600.0
SAYS = {
    "add": "every replica has the new key",
    "use": "every replica encrypts with it",
    "reencrypt": "everything lies under it",
    "drop": "every replica dropped the older keys",
}
NONE_UNDER_WAY = "no rotation is under way"
OLDER_KEYS_LEFT = "a rotation stopped before the older keys were dropped"


@click.group("keys", context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """Rotate the keys under which Secrets are encrypted at rest."""


@command("rotate")
@data_dir_option
def rotate(data_dir: Path) -> None:
    """Make a new key, encrypt everything with it, and drop the older ones, while clients read and write.

    Each step reaches every replica before the next begins. When a replica is missing it stops with exit code 1 and
    nothing is lost; run it again to go on.
    """
    from apiserver.auth.ring_keeper import PATH_KEYS

    from ..api import api_request

    layout = Layout(data_dir.absolute())
    steps = list(SAYS)
    if _stands(_replicas(data_dir)) == OLDER_KEYS_LEFT:
        click.echo(f"{OLDER_KEYS_LEFT}: going on")
        steps = ["reencrypt", "drop"]
    done: dict[str, Any] = {}
    for step in steps:
        done = api_request(layout, "POST", PATH_KEYS, {"step": step}, timeout_s=STEP_TIMEOUT_S)
        written = f" ({done['sealedAnew']} of {done['examined']} values written)" if step == "reencrypt" else ""
        click.echo(f"{SAYS[step]}{written}")
    click.echo(f"new key: {done['replicas'][0]['active']}")
    click.echo("a backup made before needs the older keys: keep what `snapshot save --with-keys` wrote for it")


@command("status")
@data_dir_option
@output_option
def status(data_dir: Path, output: str) -> None:
    """Say which keys each replica has, and where a rotation stands."""
    replicas = _replicas(data_dir)
    if output == "json":
        click.echo(json.dumps({"rotation": _stands(replicas), "replicas": replicas}))
        return
    click.echo(f"{'NAME':<12} {'GENERATION':>10}  {'ACTIVE':<18} KEYS")
    for each in replicas:
        click.echo(f"{each['name']:<12} {each['generation']:>10}  {each['active']:<18} {', '.join(each['keys'])}")
    stands = _stands(replicas)
    click.echo(stands if stands == NONE_UNDER_WAY else f"{stands}: kmini keys rotate goes on")


@command("list")
@data_dir_option
def list_keys(data_dir: Path) -> None:
    """Print the ids of the keys, oldest first; `*` marks the one that encrypts."""
    newest = max(_replicas(data_dir), key=lambda each: int(each["generation"]))
    for key_id in newest["keys"]:
        click.echo(f"{'*' if key_id == newest['active'] else ' '} {key_id}")


def _replicas(data_dir: Path) -> list[dict[str, Any]]:
    from apiserver.auth.ring_keeper import PATH_KEYS

    from ..api import admin_context, json_array, request, running_server

    layout = Layout(data_dir.absolute())
    address = running_server(layout).api_address
    return json_array(request(address, admin_context(layout.pki), "GET", PATH_KEYS), address)


def _stands(replicas: list[dict[str, Any]]) -> str:
    """Where a rotation stands, in a sentence."""
    if len({each["digest"] for each in replicas}) > 1:
        return "replicas have different rings: one has not taken the newest yet"
    ring = replicas[0]
    if ring["active"] != ring["keys"][-1]:
        return "a rotation stopped before the new key was used"
    if len(ring["keys"]) > 1:
        return OLDER_KEYS_LEFT
    return NONE_UNDER_WAY


for each_command in (rotate, status, list_keys):
    keys.add_command(each_command)
