"""`kmini token`: what machines join with."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, cast

import click

from ..addresses import Duration
from ..errors import CommandError
from ..layout import Layout
from ..options import command, data_dir_option, option


@click.group("token", context_settings={"help_option_names": ["-h", "--help"]})
def token() -> None:
    """Create, list and revoke the tokens that agents and servers join with."""


@command("create")
@click.option("--role", type=click.Choice(["agent", "server"]), required=True, help="What joins with it.")
@option("--ttl", type=Duration(), default="1h", help="How long it is good; 0: until it is revoked.")
@data_dir_option
def create(role: str, ttl: float, data_dir: Path) -> None:
    """Print a new token. A server token gives the cluster's keys away: guard it as you guard them."""
    from apiserver.auth.join_token import new_bootstrap_token

    from .. import tokens
    from ..api import api_request

    layout = Layout(data_dir.absolute())
    made = new_bootstrap_token()
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ttl) if ttl else None
    secret = tokens.secret_of(made, cast(tokens.Role, role), expires=expires, description="kmini token create")
    api_request(layout, "POST", tokens.SECRETS_PATH, secret)
    try:
        click.echo(tokens.join_token(layout, made).text)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read the cluster CA: {error}") from error


@command("list")
@data_dir_option
def list_tokens(data_dir: Path) -> None:
    """List tokens by id, without their secrets."""
    from .. import tokens

    now = datetime.datetime.now(datetime.UTC)
    click.echo(f"{'ID':<8} {'ROLE':<8} {'EXPIRES':<24} DESCRIPTION")
    for secret in _secrets(Layout(data_dir.absolute())):
        expires = tokens.field_of(secret, tokens.EXPIRATION)
        over = " (over)" if expires and expires < now.strftime("%Y-%m-%dT%H:%M:%SZ") else ""
        click.echo(
            f"{tokens.field_of(secret, 'token-id'):<8} {tokens.role_of(secret):<8} {(expires or 'never') + over:<24} "
            f"{tokens.field_of(secret, 'description')}"
        )


@command("revoke")
@click.argument("token_id", metavar="ID")
@data_dir_option
def revoke(token_id: str, data_dir: Path) -> None:
    """Make the token of this ID good for nothing. Who joined with it stays."""
    from apiserver.auth.join_token import ID_LENGTH, SECRET_NAME_PREFIX

    from .. import tokens
    from ..api import api_request

    if len(token_id) != ID_LENGTH or not token_id.isascii() or not token_id.isalnum():
        raise click.BadParameter(f"must be the {ID_LENGTH} letters of a token's id, never the token", param_hint="ID")
    api_request(Layout(data_dir.absolute()), "DELETE", f"{tokens.SECRETS_PATH}/{SECRET_NAME_PREFIX}{token_id}")
    click.echo(f"token {token_id} is revoked")


def _secrets(layout: Layout) -> list[dict[str, Any]]:
    from urllib.parse import quote

    from apiserver.auth.join_token import SECRET_TYPE

    from .. import tokens
    from ..api import api_request

    answer = api_request(layout, "GET", f"{tokens.SECRETS_PATH}?fieldSelector={quote('type=' + SECRET_TYPE)}")
    items: list[dict[str, Any]] = answer.get("items") or []
    return items


for each in (create, list_tokens, revoke):
    token.add_command(each)
