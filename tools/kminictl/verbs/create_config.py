"""`create configmap`, `namespace`, `serviceaccount`, `priorityclass`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, switch, verb
from ..failures import CommandError
from .creating import generated, generator

if TYPE_CHECKING:
    from ..cluster.session import Session

FILE_BYTES_MAX = 4 << 20


class Sources:
    """Data from --from-literal, --from-file and --from-env-file. Raises CommandError."""

    def __init__(self, files: tuple[str, ...], literals: tuple[str, ...], env_files: tuple[str, ...]) -> None:
        if env_files and (files or literals):
            raise CommandError("from-env-file cannot be combined with from-file or from-literal")
        self.data: dict[str, bytes] = {}
        for literal in literals:
            key, equals, value = literal.partition("=")
            if not equals or not key:
                raise CommandError(f"invalid literal source {literal}, expected key=value")
            self._add(key, value.encode())
        for file in files:
            self._file(file)
        for file in env_files:
            self._env_file(file)

    def _add(self, key: str, value: bytes) -> None:
        if key in self.data:
            raise CommandError(f'cannot add key "{key}", another key by that name already exists in Data')
        self.data[key] = value

    def _file(self, source: str) -> None:
        key, equals, name = source.partition("=")
        path = Path(name if equals else source)
        if not path.exists():
            raise CommandError(f"error reading {path}: no such file or directory")
        if path.is_dir():
            if equals:
                raise CommandError("cannot give a key name for a directory path")
            for each in sorted(path.iterdir()):
                if each.is_file():
                    self._add(each.name, _bytes(each))
            return
        self._add(key if equals else path.name, _bytes(path))

    def _env_file(self, name: str) -> None:
        import os

        for line in _bytes(Path(name)).decode("utf-8", "replace").lstrip("\ufeff").splitlines():
            text = line.lstrip()
            if not text or text.startswith("#"):
                continue
            key, equals, value = text.partition("=")
            self._add(key, (value if equals else os.environ.get(key, "")).encode())


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(f"error reading {path}: {(error.strerror or str(error)).lower()}") from None
    if len(found) > FILE_BYTES_MAX:
        raise CommandError(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    return found


def from_sources(function: Any) -> Any:
    function = click.option("--from-env-file", "env_files", multiple=True, help="File of KEY=VALUE lines.")(function)
    function = click.option("--from-literal", "literals", multiple=True, help="KEY=VALUE.")(function)
    return click.option("--from-file", "files", multiple=True, help="File or folder, or KEY=FILE.")(function)


@click.command("configmap", cls=Verb)
@click.argument("name")
@from_sources
@generator
@verb
async def config_map(
    session: Session,
    name: str,
    files: tuple[str, ...],
    literals: tuple[str, ...],
    env_files: tuple[str, ...],
    **settings: Any,
) -> None:
    """Create a config map from files, folders and literals."""
    data, binary = {}, {}
    for key, value in Sources(files, literals, env_files).data.items():
        try:
            data[key] = value.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(value).decode()
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    obj |= ({"data": data} if data else {}) | ({"binaryData": binary} if binary else {})
    await generated(session, "configmap", obj, settings)


@click.command("namespace", cls=Verb)
@click.argument("name")
@generator
@verb
async def namespace(session: Session, name: str, **settings: Any) -> None:
    """Create a namespace."""
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {}, "status": {}}
    await generated(session, "namespace", obj, settings, skip=True)


@click.command("serviceaccount", cls=Verb)
@click.argument("name")
@generator
@verb
async def service_account(session: Session, name: str, **settings: Any) -> None:
    """Create a service account."""
    obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    await generated(session, "serviceaccount", obj, settings)


@click.command("priorityclass", cls=Verb)
@click.argument("name")
@click.option("--value", default=0, help="The higher goes first.")
@switch("--global-default", help="For pods that name none.")
@click.option("--description", default="")
@click.option("--preemption-policy", default="PreemptLowerPriority")
@generator
@verb
async def priority_class(
    session: Session,
    name: str,
    value: int,
    global_default: bool,
    description: str,
    preemption_policy: str,
    **settings: Any,
) -> None:
    """Create a priority class."""
    obj = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": description,
        "preemptionPolicy": preemption_policy,
    }
    if global_default:
        obj["globalDefault"] = True
    await generated(session, "priorityclass", obj, settings)
