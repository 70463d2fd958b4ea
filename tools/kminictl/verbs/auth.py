"""`kminictl auth`: who asks, and what they may do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, Verbs, switch, verb
from ..failures import CommandError, Silent
from . import options as take

if TYPE_CHECKING:
    from ..cluster.session import Session

_REVIEWS = "/apis/authorization.k8s.io/v1"


@click.group("auth", cls=Verbs)
def auth() -> None:
    """Ask who you are and what you may do."""


@auth.command("whoami", cls=Verb)
@take.output
@verb
async def whoami(session: Session, output: str) -> None:
    """Say as whom the server knows you."""
    from apiserver.client import requests

    from ..output import gojson, printers
    from ..output.tabwriter import Columns

    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    review = await session.api.json(requests.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body))
    if output:
        printer = printers.printer_of(output)
        click.echo(printer.printed(review) + printer.finish(), nl=False)
        return
    user = (review.get("status") or {}).get("userInfo") or {}
    columns = Columns()
    columns.add(["ATTRIBUTE", "VALUE"])
    for attribute, field in (("Username", "username"), ("UID", "uid")):
        if user.get(field):
            columns.add([attribute, user[field]])
    if user.get("groups"):
        columns.add(["Groups", gojson.sprint(user["groups"])])
    for key, values in sorted((user.get("extra") or {}).items()):
        columns.add([f"Extra: {key}", gojson.sprint(values)])
    click.echo(columns.flush(), nl=False)


@auth.command("can-i", cls=Verb)
@click.argument("words", nargs=-1)
@take.all_namespaces
@switch("--list", "listing", help="All that is allowed.")
@switch("-q", "--quiet", help="Only by the exit code.")
@switch("--no-headers")
@click.option("--subresource", default="", help="Such as log, exec, scale.")
@verb
async def can_i(
    session: Session,
    words: tuple[str, ...],
    all_namespaces: bool,
    listing: bool,
    quiet: bool,
    no_headers: bool,
    subresource: str,
) -> None:
    """Ask whether something is allowed: can-i VERB TYPE[/NAME] | /PATH."""
    from apiserver.client import requests

    namespace = "" if all_namespaces else session.namespace
    if listing:
        await _list(session, namespace, headers=not no_headers)
        return
    if len(words) not in (2, 3):
        raise CommandError(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kminictl auth can-i "
            "-h' for help and examples."
        )
    spec = await _asked(session, words, subresource, namespace)
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    status = (await session.api.json(requests.create(f"{_REVIEWS}/selfsubjectaccessreviews", body)))["status"]
    allowed = bool(status.get("allowed"))
    if not quiet:
        reason = f" - {status['reason']}" if status.get("reason") and not allowed else ""
        problem = f" - {status['evaluationError']}" if status.get("evaluationError") else ""
        session.say("yes" if allowed else f"no{reason}{problem}")
    if not allowed:
        raise Silent


async def _asked(session: Session, words: tuple[str, ...], subresource: str, namespace: str) -> dict[str, Any]:
    verb_word, what = words[0], words[1]
    if what.startswith("/"):
        return {"nonResourceAttributes": {"path": what, "verb": verb_word}}
    type_, _, name = what.partition("/")
    if len(words) == 3:
        name = words[2]
    group, plural = "", type_
    if type_ == "*":
        group = "*"
    else:
        resource = (await session.catalogue()).lookup(type_)
        if resource is None:
            base, _, group = type_.partition(".")
            plural = base
            session.warn(f"the server doesn't have a resource type '{type_}'\n")
        else:
            group, plural = resource.kind.group, resource.kind.plural
            if not resource.namespaced and namespace:
                where = f"resource '{plural}' is not namespace scoped"
                session.warn(f"{where} in group '{group}'\n" if group else f"{where}\n")
                namespace = ""
    attributes = {
        "namespace": namespace,
        "verb": verb_word,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "name": name,
    }
    return {"resourceAttributes": {key: value for key, value in attributes.items() if value}}


async def _list(session: Session, namespace: str, *, headers: bool) -> None:
    from apiserver.client import requests

    from ..output.tabwriter import Columns
    from .rules import rows

    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace or "default"},
    }
    status = (await session.api.json(requests.create(f"{_REVIEWS}/selfsubjectrulesreviews", body)))["status"]
    if status.get("incomplete"):
        session.warn(f"the list may be incomplete: {status.get('evaluationError', '')}")
    columns = Columns()
    if headers:
        columns.add(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"])
    found = [*(status.get("resourceRules") or []), *(status.get("nonResourceRules") or [])]
    for row in rows(found):
        columns.add(row)
    sys.stdout.write(columns.flush())
