"""`kminictl delete`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..command import Verb, loose, switch, verb
from ..failures import CommandError, Several
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Target
    from ..cluster.session import Session


@click.command("delete", cls=Verb)
@click.argument("words", nargs=-1)
@take.files
@take.output
@take.selector
@take.field_selector
@take.all_namespaces
@take.everything
@take.dry_run
@loose(
    "--cascade",
    bare="background",
    default="background",
    help="What becomes of dependents: background, orphan, foreground.",
)
@click.option("--grace-period", default=-1, help="Seconds to end in; the object's own when negative.")
@switch("--force", help="Do not wait for the node to confirm.")
@switch("--now", help="A grace period of one second.")
@switch("--wait", default=True, help="Wait until it is gone.")
@switch("--ignore-not-found", help="What is not there is no error.")
@click.option("--timeout", default="0s", help="How long to wait; 0 is as long as it takes.")
@click.option("--raw", default="", help="A path of the server to send DELETE to.")
@verb
async def delete(session: Session, words: tuple[str, ...], raw: str, **given: Any) -> None:
    """Delete objects by name, by selector, or from files."""
    if raw:
        from apiserver.client import requests

        answer = await session.api.send(requests.delete(raw))
        sys.stdout.write(answer.body.decode("utf-8", "replace"))
        return
    await _Deleting(session, words, given).run()


class _Deleting:
    def __init__(self, session: Session, words: tuple[str, ...], given: dict[str, Any]) -> None:
        from ..cluster.selecting import Selection
        from ..output.ages import duration_s

        self._session = session
        self._dry_run = take.DryRun(given["dry_run"])
        self._output: str = given["output"]
        if self._output not in ("", "name"):
            raise CommandError(f"unexpected -o output mode: {self._output}. We only support '-o name'")
        self._force: bool = given["force"]
        self._grace: int = given["grace_period"]
        self._cascade: str = given["cascade"]
        self._timeout_s = duration_s(given["timeout"])
        self._missing_ok: bool = given["ignore_not_found"]
        self._selection = Selection(
            words=words,
            files=take.split_files(given["filenames"]),
            recursive=given["recursive"],
            labels=given["labels"],
            fields=given["fields"],
            everything=given["everything"],
            all_namespaces=given["all_namespaces"],
        )
        self._judge_grace(now=given["now"])
        self._wait: bool = given["wait"] and not self._dry_run

    def _judge_grace(self, *, now: bool) -> None:
        if now:
            if self._grace != -1:
                raise CommandError("--now and --grace-period cannot be specified together")
            self._grace = 1
        if self._grace == 0 and not self._force:
            self._grace = 1
        elif self._force and self._grace < 0:
            self._grace = 0
        elif self._force and self._grace > 0:
            raise CommandError("--force and --grace-period greater than 0 cannot be specified together")

    async def run(self) -> None:
        from apiserver.api.errors import ApiError

        from ..cluster.selecting import targets
        from ..failures import about

        if not self._selection.words and not self._selection.files:
            raise CommandError(
                "You must provide one or more resources by argument or filename.\n"
                "Example resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n"
                "   '<resource> <name>'\n   '<resource>'"
            )
        found = await targets(self._session, self._selection, verb="delete", names_needed=True)
        if self._force and not self._dry_run:
            self._session.warn(
                "Immediate deletion does not wait for confirmation that the running resource has been terminated. "
                "The resource may continue to run on the cluster indefinitely."
            )
        errors: list[Exception] = []
        deleted: list[tuple[Target, dict[str, Any]]] = []
        for target in found:
            try:
                deleted += await self._delete_all(target)
            except ApiError as error:
                if error.status_code == 404 and self._missing_ok:
                    continue
                errors.append(about(error, f'error when deleting "{target.source}"') if target.source else error)
        if not deleted and not errors and self._selection.selects:
            self._session.tell("No resources found")
        if self._wait:
            await self._wait_for(deleted)
        if errors:
            raise Several(errors)

    async def _delete_all(self, target: Target) -> list[tuple[Target, dict[str, Any]]]:
        if target.name:
            return [(target, await self._delete(target))]
        listed = await self._session.api.list_(
            target.resource.kind, target.namespace, labels=self._selection.labels, fields=self._selection.fields
        )
        done = []
        for obj in listed:
            metadata = obj["metadata"]
            each = msgspec.structs.replace(target, name=metadata["name"], namespace=metadata.get("namespace") or None)
            done.append((each, await self._delete(each)))
        return done

    async def _delete(self, target: Target) -> dict[str, Any]:
        from .deleting import delete_options

        options = delete_options(self._cascade, self._grace, dry_run=self._dry_run.server)
        if self._dry_run.client:
            answer = await self._session.api.get(target.resource.kind, target.name, target.namespace)
        else:
            answer = await self._session.api.delete(target.resource.kind, target.namespace, target.name, options)
        self._say(target)
        return answer

    def _say(self, target: Target) -> None:
        if self._output == "name":
            text = str(target)
        else:
            operation = "force deleted" if self._grace == 0 else "deleted"
            where = f" from {target.namespace} namespace" if target.namespace else ""
            text = f'{target.resource.type_name} "{target.name}" {operation}{where}{self._dry_run.suffix}'
        self._session.say(text)
        sys.stdout.flush()

    async def _wait_for(self, deleted: list[tuple[Target, dict[str, Any]]]) -> None:
        from apiserver.api.errors import Forbidden

        from .deleting import wait_gone

        for target, answer in deleted:
            try:
                await wait_gone(
                    self._session,
                    target.resource,
                    target.namespace,
                    target.name,
                    answer,
                    timeout_s=self._timeout_s,
                )
            except TimeoutError:
                raise CommandError(
                    f"timed out waiting for the condition on {target.resource.kind.plural}/{target.name}"
                ) from None
            except Forbidden:
                return  # who may delete and not look does not wait
