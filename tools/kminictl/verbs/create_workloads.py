"""`create deployment`, `job`, `cronjob`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, after_dash, verb
from ..failures import CommandError
from .creating import generated, generator

if TYPE_CHECKING:
    from ..cluster.session import Session


def _split(words: tuple[str, ...], kind: str) -> tuple[str, list[str]]:
    """The name, and the command after `--`."""
    count = after_dash() or 0
    names, command = words[: len(words) - count], list(words[len(words) - count :])
    if len(names) != 1:
        raise CommandError(
            f"exactly one NAME is required, got {len(names)}\nSee 'kminictl create {kind} -h' for help and examples"
        )
    return names[0], command


def _container(image: str, name: str, command: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "image": image, "resources": {}}
    return made | ({"command": command} if command else {})


def _name_of_image(image: str) -> str:
    """`registry/nginx:1.25@sha256:...` → nginx."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0].replace("_", "-")


@click.command("deployment", cls=Verb)
@click.argument("words", nargs=-1)
@click.option("--image", "images", multiple=True, help="Image of a container; again for another one.")
@click.option("-r", "--replicas", default=1, help="How many pods.")
@click.option("--port", default=-1, help="Port of the container.")
@generator
@verb
async def deployment(
    session: Session, words: tuple[str, ...], images: tuple[str, ...], replicas: int, port: int, **settings: Any
) -> None:
    """Create a deployment: create deployment NAME --image=IMAGE [-- COMMAND...]."""
    if not images:
        raise CommandError('required flag(s) "image" not set')
    name, command = _split(words, "deployment")
    if len(images) > 1 and command:
        raise CommandError("cannot specify multiple --image options and command")
    containers = [_container(image, _name_of_image(image), command) for image in images]
    if port >= 0:
        containers[0]["ports"] = [{"containerPort": port}]
    labels = {"app": name}
    obj: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
        "status": {},
    }
    await generated(session, "deployment", obj, settings)


def _job_spec(name: str, image: str, command: list[str]) -> dict[str, Any]:
    pod = {"containers": [_container(image, name, command)], "restartPolicy": "Never"}
    return {"template": {"metadata": {}, "spec": pod}}


@click.command("job", cls=Verb)
@click.argument("words", nargs=-1)
@click.option("--image", default="", help="Image to run.")
@generator
@verb
async def job(session: Session, words: tuple[str, ...], image: str, **settings: Any) -> None:
    """Create a job, where the server has them."""
    name, command = _split(words, "job")
    if not image:
        raise CommandError("either --image or --from must be specified")
    obj = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": _job_spec(name, image, command),
        "status": {},
    }
    await generated(session, "job", obj, settings)


@click.command("cronjob", cls=Verb)
@click.argument("words", nargs=-1)
@click.option("--image", required=True, help="Image to run.")
@click.option("--schedule", required=True, help="When, as cron writes it.")
@generator
@verb
async def cron_job(session: Session, words: tuple[str, ...], image: str, schedule: str, **settings: Any) -> None:
    """Create a cron job, where the server has them."""
    name, command = _split(words, "cronjob")
    template = {"metadata": {"name": name}, "spec": _job_spec(name, image, command)}
    obj = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"jobTemplate": template, "schedule": schedule},
        "status": {},
    }
    await generated(session, "cronjob", obj, settings)
