"""`kminictl run`: one pod from an image."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, after_dash, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found
    from ..cluster.session import Session

PHASE_TIMEOUT_S = 60.0


@click.command("run", cls=Verb)
@click.argument("words", nargs=-1)
@take.output
@take.dry_run
@click.option("--image", default="", help="Image of the container.")
@click.option("--image-pull-policy", default="")
@click.option("--port", default=0, help="Port of the container.")
@click.option("--env", "environment", multiple=True, help="NAME=VALUE.")
@click.option("-l", "--labels", default="", help="Labels; run=NAME when left out.")
@click.option("--annotations", multiple=True, help="KEY=VALUE.")
@click.option("--restart", default="Always", help="Always, OnFailure or Never.")
@click.option("--overrides", default="", help="A JSON merge patch over the pod.")
@switch("--command", "is_command", help="What follows -- is the command, not its arguments.")
@switch("--privileged", help="With all rights on the node.")
@switch("-i", "--stdin", help="Pass standard input on.")
@switch("-t", "--tty", help="With a terminal.")
@switch("--attach", help="Attach to the container once it runs.")
@switch("--rm", "remove", help="Delete the pod at the end.")
@switch("-q", "--quiet", help="Say nothing of one's own.")
@click.option("--field-manager", default="kubectl-run", hidden=True)
@verb
async def run(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Run an image in a pod: run NAME --image=IMAGE [-- ARGUMENTS...]."""
    from .writing import Results, write_options

    pod = pod_for(words, given)
    dry_run = take.DryRun(given["dry_run"])
    attached = given["attach"] or given["stdin"]
    if given["remove"] and not attached:
        raise CommandError("--rm should only be used for attached containers")
    results = Results(given["output"], dry_run)
    if not dry_run.client or session.options.namespace:
        pod["metadata"]["namespace"] = session.namespace
    kind = (await session.catalogue()).find("pods").kind
    made = pod
    if not dry_run.client:
        options = write_options(dry_run, given["field_manager"])
        made = await session.api.create(kind, session.namespace, pod, options)
    if not attached or dry_run:
        results.done(made, "created")
        results.end()
        return
    try:
        await _joined(session, made, given)
    finally:
        if given["remove"]:
            await session.api.delete(kind, session.namespace, made["metadata"]["name"], {})
            session.say(f'pod "{made["metadata"]["name"]}" deleted from {session.namespace} namespace')


async def _joined(session: Session, pod: dict[str, Any], given: dict[str, Any]) -> None:
    """With its container from its start to its end, which is this command's own: its exit code is passed on."""
    from ..cluster.selecting import Found
    from ..output.progress import waiting

    found = Found(resource=(await session.catalogue()).find("pods"), object=pod)
    async with waiting(f"waiting for {found} to run"):
        begun = await _at(session, found, "Running", "Succeeded", "Failed")
    await _heard(session, begun, given)
    if given["restart"] == "Always":
        return  # it begins anew, so there is no end to wait for
    ended = await _at(session, found, "Succeeded", *(["Failed"] if given["restart"] == "Never" else []))
    failed = failure_of(ended)
    if failed is not None:
        raise failed


async def _at(session: Session, found: Found, *phases: str) -> dict[str, Any]:
    """The pod once it is in one of these phases. Raises CommandError when that takes too long."""
    from .waiting import until

    seen: dict[str, Any] = {}

    def there(pod: dict[str, Any]) -> bool:
        seen["pod"] = pod
        return (pod.get("status") or {}).get("phase") in phases

    if not await until(session, found, there, timeout_s=PHASE_TIMEOUT_S):
        raise CommandError("timed out waiting for the condition")
    pod: dict[str, Any] = seen["pod"]
    return pod


async def _heard(session: Session, pod: dict[str, Any], given: dict[str, Any]) -> None:
    """What its container says; of one that has ended already, what it said."""
    from .exec import attach_to
    from .logs import whole_log

    name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
    if pod["status"]["phase"] != "Running":
        await whole_log(session, name, session.namespace, container)
        return
    if not given["quiet"] and given["stdin"] and sys.stdin.isatty():
        session.tell("If you don't see a command prompt, try pressing enter.")
    try:
        await attach_to(session, name, session.namespace, container, stdin=given["stdin"], tty=given["tty"])
    except CommandError as error:
        session.tell(f"warning: couldn't attach to pod/{name}, falling back to streaming logs: {error}")
        await whole_log(session, name, session.namespace, container)


def failure_of(pod: dict[str, Any]) -> CommandError | None:
    """How a pod of one container failed, with the container's exit code; None when it has not."""
    status, name = pod["status"], f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
    if status["phase"] != "Failed":
        return None
    states = [each.get("state") or {} for each in status.get("containerStatuses") or []]
    ended = states[0].get("terminated") if states else None
    if not ended or not ended.get("exitCode"):
        return CommandError(f"{name} failed with unknown exit code")
    said = f"{name} terminated ({ended.get('reason', '')})\n{ended.get('message', '')}".rstrip("\n")
    return CommandError(said, ended["exitCode"], prefix=False)


def pod_for(words: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The pod as it is sent. Raises CommandError."""
    from .creating import key_values, labels_of

    count = after_dash() or 0
    names, arguments = words[: len(words) - count], list(words[len(words) - count :])
    if not given["image"]:
        raise CommandError('required flag(s) "image" not set')
    if not names:
        raise CommandError("NAME is required for run\nSee 'kminictl run -h' for help and examples")
    name, more = names[0], list(names[1:])
    arguments = more + arguments
    if given["restart"] not in ("Always", "OnFailure", "Never"):
        raise CommandError(f"invalid restart policy: {given['restart']}, valid values are: Always, OnFailure, Never")
    container: dict[str, Any] = {"name": name, "image": given["image"], "resources": {}}
    if given["image_pull_policy"]:
        container["imagePullPolicy"] = given["image_pull_policy"]
    if arguments:
        container["command" if given["is_command"] else "args"] = arguments
    if given["environment"]:
        pairs = key_values(given["environment"], "env")
        container["env"] = [{"name": key, "value": value} for key, value in pairs.items()]
    if given["port"]:
        container["ports"] = [{"containerPort": given["port"]}]
    if given["privileged"]:
        container["securityContext"] = {"privileged": True}
    if given["stdin"]:
        container |= {"stdin": True, "stdinOnce": True}
    if given["tty"]:
        container["tty"] = True
    metadata: dict[str, Any] = {"name": name, "labels": labels_of(given["labels"]) or {"run": name}}
    if given["annotations"]:
        metadata["annotations"] = key_values(given["annotations"], "annotation")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": given["restart"]},
        "status": {},
    }
    return _overridden(pod, given["overrides"])


def _overridden(pod: dict[str, Any], text: str) -> dict[str, Any]:
    if not text:
        return pod
    import msgspec

    from ..merging.json_merge import applied

    try:
        patch = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise CommandError(f"--overrides is no JSON object: {error}") from None
    return applied(pod, patch)
