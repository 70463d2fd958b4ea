"""`kminictl config`: look at kubeconfig files and change them. No server is asked.

A file is written whole or not at all, and only its owner may read it: keys are in it.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from ..cluster.session import Options
from ..command import Verbs, switch
from ..failures import CommandError
from ..output import goyaml, printers
from ..output.tabwriter import Columns

_SECTIONS = ("clusters", "contexts", "users")
_SECRET_DATA = ("certificate-authority-data", "client-certificate-data", "client-key-data")
_SECRETS = ("token", "password")


class _File:
    """One kubeconfig file, as plain data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = _read(path)

    def entries(self, section: str) -> list[dict[str, Any]]:
        found = self.content.setdefault(section, [])
        if found is None:
            found = self.content[section] = []
        if not isinstance(found, list):
            raise CommandError(f"{self.path}: {section} must be a list")
        return found

    def entry(self, section: str, name: str) -> dict[str, Any] | None:
        for each in self.entries(section):
            if each.get("name") == name:
                body = each.setdefault(section.removesuffix("s"), {})
                if isinstance(body, dict):
                    return body
        return None

    def put(self, section: str, name: str, body: dict[str, Any]) -> bool:
        """True when it is new."""
        known = self.entry(section, name)
        if known is not None:
            known.update(body)
            return False
        self.entries(section).append({"name": name, section.removesuffix("s"): body})
        self.entries(section).sort(key=lambda each: str(each.get("name")))
        return True

    def drop(self, section: str, name: str) -> bool:
        before = self.entries(section)
        self.content[section] = [each for each in before if each.get("name") != name]
        return len(self.content[section]) < len(before)

    def save(self) -> None:
        import os

        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.part")
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(number, "w", encoding="utf-8") as file:
            file.write(goyaml.dump({"apiVersion": "v1", "kind": "Config"} | self.content))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)


def _read(path: Path) -> dict[str, Any]:
    from ..cluster import manifests

    if not path.exists():
        return {"clusters": [], "contexts": [], "current-context": "", "users": []}
    found = list(manifests.documents(path.read_bytes(), str(path)))
    if len(found) != 1:
        raise CommandError(f"{path} is no kubeconfig")
    return found[0].object


def _opened() -> _File:
    from apiserver.client import kubeconfig

    options = click.get_current_context().ensure_object(Options)
    try:
        return _File(kubeconfig.find_files(options.kubeconfig or None)[0])
    except FileNotFoundError:
        return _File(Path("~/.kube/config").expanduser())


@click.group("config", cls=Verbs)
def config() -> None:
    """Look at and change kubeconfig files."""


@config.command("view")
@switch("--raw", help="With keys and tokens.")
@switch("--minify", help="Only what the current context needs.")
@switch("--flatten", hidden=True)
@click.option("-o", "--output", default="yaml")
def view(raw: bool, minify: bool, flatten: bool, output: str) -> None:
    """Show the file."""
    content = _opened().content
    if minify:
        content = _minified(content)
    if not raw:
        content = _redacted(content)
    printer = printers.printer_of(output)
    click.echo(printer.printed({"apiVersion": "v1", "kind": "Config"} | content) + printer.finish(), nl=False)


def _minified(content: dict[str, Any]) -> dict[str, Any]:
    options = click.get_current_context().ensure_object(Options)
    name = options.context or content.get("current-context")
    context = next((each for each in content.get("contexts") or [] if each.get("name") == name), None)
    if context is None:
        raise CommandError("current-context must exist in order to minify")
    body = context.get("context") or {}
    kept = {"clusters": body.get("cluster"), "users": body.get("user"), "contexts": name}
    found = {key: [each for each in content.get(key) or [] if each.get("name") == kept[key]] for key in kept}
    return {**content, **found, "current-context": name}


def _redacted(content: dict[str, Any]) -> dict[str, Any]:
    def clean(body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {
            key: "DATA+OMITTED" if key in _SECRET_DATA else "REDACTED" if key in _SECRETS else clean(value)
            for key, value in body.items()
        }

    return {
        key: [clean(each) for each in value] if key in _SECTIONS and isinstance(value, list) else value
        for key, value in content.items()
    }


@config.command("current-context")
def current_context() -> None:
    """Print which context is used."""
    name = _opened().content.get("current-context")
    if not name:
        raise CommandError("current-context is not set")
    click.echo(name)


@config.command("use-context")
@click.argument("name")
def use_context(name: str) -> None:
    """Use another context from now on."""
    file = _opened()
    if file.entry("contexts", name) is None:
        raise CommandError(f'no context exists with the name: "{name}"')
    file.content["current-context"] = name
    file.save()
    click.echo(f'Switched to context "{name}".')


@config.command("get-contexts")
@click.argument("names", nargs=-1)
@switch("--no-headers")
@click.option("-o", "--output", default="")
def get_contexts(names: tuple[str, ...], no_headers: bool, output: str) -> None:
    """List contexts."""
    file = _opened()
    columns = Columns()
    if not no_headers and not output:
        columns.add(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"])
    known = {each.get("name"): each.get("context") or {} for each in file.entries("contexts")}
    for name in sorted(str(each) for each in known if not names or each in names):
        if output == "name":
            click.echo(name)
            continue
        body = known[name]
        mark = "*" if name == file.content.get("current-context") else ""
        columns.add([mark, name, body.get("cluster", ""), body.get("user", ""), body.get("namespace", "")])
    click.echo(columns.flush(), nl=False)
    for name in names:
        if name not in known:
            raise CommandError(f"context {name} not found")


def _names(section: str) -> None:
    click.echo("NAME")
    for each in _opened().entries(section):
        click.echo(each.get("name"))


@config.command("get-clusters")
def get_clusters() -> None:
    """List clusters."""
    _names("clusters")


@config.command("get-users")
def get_users() -> None:
    """List users."""
    _names("users")


@config.command("set-context")
@click.argument("name", required=False)
@switch("--current", help="The context that is used now.")
def set_context(name: str | None, current: bool) -> None:
    """Set the --cluster, --user and --namespace of a context."""
    file = _opened()
    if current:
        name = file.content.get("current-context") or None
        if name is None:
            raise CommandError("no current context is set")
    if not name:
        raise CommandError("you must specify a non-empty context name or --current")
    options = click.get_current_context().ensure_object(Options)
    given = {"cluster": options.cluster, "user": options.user, "namespace": options.namespace}
    created = file.put("contexts", name, {key: value for key, value in given.items() if value})
    file.save()
    click.echo(f'Context "{name}" {"created" if created else "modified"}.')


@config.command("set-cluster")
@click.argument("name")
@switch("--embed-certs")
def set_cluster(name: str, embed_certs: bool) -> None:
    """Set the --server and --certificate-authority of a cluster."""
    options = click.get_current_context().ensure_object(Options)
    body: dict[str, Any] = {"server": options.server} if options.server else {}
    body |= _material("certificate-authority", options.certificate_authority, embed=embed_certs)
    if options.tls_server_name:
        body["tls-server-name"] = options.tls_server_name
    if options.insecure:
        body["insecure-skip-tls-verify"] = True
    file = _opened()
    file.put("clusters", name, body)
    file.save()
    click.echo(f'Cluster "{name}" set.')


@config.command("set-credentials")
@click.argument("name")
@switch("--embed-certs")
def set_credentials(name: str, embed_certs: bool) -> None:
    """Set the --token, or --client-certificate and --client-key, of a user."""
    options = click.get_current_context().ensure_object(Options)
    body: dict[str, Any] = {"token": options.token} if options.token else {}
    body |= _material("client-certificate", options.client_certificate, embed=embed_certs)
    body |= _material("client-key", options.client_key, embed=embed_certs)
    file = _opened()
    file.put("users", name, body)
    file.save()
    click.echo(f'User "{name}" set.')


def _material(key: str, name: str, *, embed: bool) -> dict[str, str]:
    if not name:
        return {}
    if not embed:
        return {key: str(Path(name).absolute())}
    try:
        return {f"{key}-data": base64.b64encode(Path(name).read_bytes()).decode()}
    except OSError as error:
        raise CommandError(f"could not read {key} data from {name}: {error.strerror}") from None


def _delete(section: str, name: str) -> None:
    file = _opened()
    word = section.removesuffix("s")
    if not file.drop(section, name):
        raise CommandError(f"cannot delete {word} {name}, not in {file.path}")
    file.save()
    click.echo(f"deleted {word} {name} from {file.path}")


@config.command("delete-context")
@click.argument("name")
def delete_context(name: str) -> None:
    """Take a context out."""
    _delete("contexts", name)


@config.command("delete-cluster")
@click.argument("name")
def delete_cluster(name: str) -> None:
    """Take a cluster out."""
    _delete("clusters", name)


@config.command("delete-user")
@click.argument("name")
def delete_user(name: str) -> None:
    """Take a user out."""
    _delete("users", name)


@config.command("rename-context")
@click.argument("old")
@click.argument("new")
def rename_context(old: str, new: str) -> None:
    """Give a context another name."""
    file = _opened()
    body = file.entry("contexts", old)
    if body is None:
        raise CommandError(f'cannot rename the context "{old}", it\'s not in {file.path}')
    if file.entry("contexts", new) is not None:
        raise CommandError(f'cannot rename the context "{old}", the context "{new}" already exists in {file.path}')
    file.drop("contexts", old)
    file.put("contexts", new, body)
    if file.content.get("current-context") == old:
        file.content["current-context"] = new
    file.save()
    click.echo(f'Context "{old}" renamed to "{new}".')
