"""`kminictl certificate approve|deny`: decide about requests for certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verbs, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found
    from ..cluster.session import Session

_TYPE = "certificatesigningrequests.certificates.k8s.io"


@click.group("certificate", cls=Verbs)
def certificate() -> None:
    """Decide about requests for certificates."""


@certificate.command("approve")
@click.argument("names", nargs=-1, required=True)
@take.output
@switch("--force", help="Also what was decided already.")
@verb
async def approve(session: Session, names: tuple[str, ...], output: str, force: bool) -> None:
    """Let certificates be issued."""
    await _decide(session, names, output, ("Approved", "Denied", "approved", "KubectlApprove"), force=force)


@certificate.command("deny")
@click.argument("names", nargs=-1, required=True)
@take.output
@switch("--force", help="Also what was decided already.")
@verb
async def deny(session: Session, names: tuple[str, ...], output: str, force: bool) -> None:
    """Let no certificates be issued."""
    await _decide(session, names, output, ("Denied", "Approved", "denied", "KubectlDeny"), force=force)


async def _decide(
    session: Session, names: tuple[str, ...], output: str, words: tuple[str, str, str, str], *, force: bool
) -> None:
    """`words`: the condition, its opposite, what was done, and the reason."""
    from apiserver.api.errors import ApiError

    from ..cluster.selecting import Selection, objects
    from .writing import Results

    results = Results(output, take.DryRun("none"))
    found, results.errors = await objects(session, Selection(words=(_TYPE, *names)), verb="certificate")
    for each in found:
        try:
            results.done(await _one(session, each, words, force=force), words[2])
        except (ApiError, CommandError) as error:
            results.errors.append(error)
    results.end()


async def _one(session: Session, found: Found, words: tuple[str, str, str, str], *, force: bool) -> dict[str, Any]:
    wanted, opposite, _, reason = words
    status = found.object.get("status") or {}
    known = [each["type"] for each in status.get("conditions") or []]
    if opposite in known:
        raise CommandError(f'certificate signing request "{found.name}" is already {opposite}')
    if wanted in known and not force:
        return found.object
    condition = {
        "type": wanted,
        "status": "True",
        "reason": reason,
        "message": f"This CSR was {words[2]} by kubectl certificate {'approve' if wanted == 'Approved' else 'deny'}.",
    }
    kept = [each for each in status.get("conditions") or [] if each["type"] != wanted]
    changed = {**found.object, "status": {**status, "conditions": [*kept, condition]}}
    return await session.api.replace(found.resource.kind, None, found.name, changed, subresource="approval")
