"""`create role`, `clusterrole`, their bindings, and `create token`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, verb
from ..failures import CommandError
from . import options as take
from .creating import generated, generator, key_values

if TYPE_CHECKING:
    from ..cluster.session import Session

_RBAC = "rbac.authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"


def _listed(values: tuple[str, ...]) -> list[str]:
    """`-x a,b -x c`, each once."""
    return list(dict.fromkeys(each for value in values for each in value.split(",") if each))


async def _rules(
    session: Session, verbs: list[str], resources: list[str], names: list[str], urls: list[str]
) -> list[dict[str, Any]]:
    """One for each group of the resources, as kubectl makes them; one for paths that are no resources."""
    if not verbs:
        raise CommandError("at least one verb must be specified")
    if not resources and not urls:
        raise CommandError("at least one resource must be specified")
    groups: dict[str, list[str]] = {}
    if resources:
        catalogue = await session.catalogue()
        for text in resources:
            type_, slash, subresource = text.partition("/")
            if type_ == "*":
                group, plural = "*", "*"
            else:
                kind = catalogue.find(type_).kind
                group, plural = kind.group, kind.plural
            groups.setdefault(group, []).append(f"{plural}/{subresource}" if slash else plural)
    made: list[dict[str, Any]] = []
    for group, plurals in groups.items():
        rule: dict[str, Any] = {"apiGroups": [group], "resources": plurals}
        made.append(rule | ({"resourceNames": names} if names else {}) | {"verbs": verbs})
    if urls:
        made.append({"nonResourceURLs": urls, "verbs": verbs})
    return made


def _rule_options(function: Any) -> Any:
    function = click.option("--resource-name", "names", multiple=True, help="Only objects of this name.")(function)
    function = click.option("--resource", "resources", multiple=True, help="TYPE[.GROUP][/SUBRESOURCE].")(function)
    return click.option("--verb", "verbs", multiple=True, help="get, list, ...")(function)


@click.command("role", cls=Verb)
@click.argument("name")
@_rule_options
@generator
@verb
async def role(
    session: Session,
    name: str,
    verbs: tuple[str, ...],
    resources: tuple[str, ...],
    names: tuple[str, ...],
    **settings: Any,
) -> None:
    """Create a role with one rule."""
    rules = await _rules(session, _listed(verbs), _listed(resources), _listed(names), [])
    obj = {"apiVersion": _RBAC, "kind": "Role", "metadata": {"name": name}, "rules": rules}
    await generated(session, "role", obj, settings)


@click.command("clusterrole", cls=Verb)
@click.argument("name")
@_rule_options
@click.option("--non-resource-url", "urls", multiple=True, help="A path such as /metrics.")
@click.option("--aggregation-rule", "aggregation", default="", help="Labels of roles whose rules it takes: a=b,c=d.")
@generator
@verb
async def cluster_role(
    session: Session,
    name: str,
    verbs: tuple[str, ...],
    resources: tuple[str, ...],
    names: tuple[str, ...],
    urls: tuple[str, ...],
    aggregation: str,
    **settings: Any,
) -> None:
    """Create a cluster role."""
    obj: dict[str, Any] = {"apiVersion": _RBAC, "kind": "ClusterRole", "metadata": {"name": name}}
    if aggregation:
        labels = key_values(tuple(aggregation.split(",")), "aggregation rule")
        obj["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": labels}]}
        obj["rules"] = []
    else:
        obj["rules"] = await _rules(session, _listed(verbs), _listed(resources), _listed(names), _listed(urls))
    await generated(session, "clusterrole", obj, settings)


def _subjects(users: tuple[str, ...], groups: tuple[str, ...], accounts: tuple[str, ...]) -> list[dict[str, str]]:
    found = [{"kind": "User", "apiGroup": _GROUP, "name": each} for each in users]
    found += [{"kind": "Group", "apiGroup": _GROUP, "name": each} for each in groups]
    for account in accounts:
        namespace, colon, name = account.partition(":")
        if not colon or not namespace or not name:
            raise CommandError("serviceaccount must be <namespace>:<name>")
        found.append({"kind": "ServiceAccount", "namespace": namespace, "name": name})
    return found


def _subject_options(function: Any) -> Any:
    function = click.option("--serviceaccount", "accounts", multiple=True, help="NAMESPACE:NAME.")(function)
    function = click.option("--group", "groups", multiple=True)(function)
    # `--user` is also which user of the kubeconfig asks, everywhere else; here it is kubectl's subject.
    return click.option("--user", "users", multiple=True, help="A user to bind.")(function)


class _Binding(Verb):
    """Its --user are subjects, not who asks."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params = [each for each in self.params if each.name != "global_user"]


@click.command("rolebinding", cls=_Binding)
@click.argument("name")
@click.option("--role", default="")
@click.option("--clusterrole", default="")
@_subject_options
@generator
@verb
async def role_binding(
    session: Session,
    name: str,
    role: str,
    clusterrole: str,
    users: tuple[str, ...],
    groups: tuple[str, ...],
    accounts: tuple[str, ...],
    **settings: Any,
) -> None:
    """Give a role to users, groups and service accounts, in one namespace."""
    if bool(role) == bool(clusterrole):
        raise CommandError("exactly one of clusterrole or role must be specified")
    reference = {"apiGroup": _GROUP, "kind": "Role" if role else "ClusterRole", "name": role or clusterrole}
    obj: dict[str, Any] = {"apiVersion": _RBAC, "kind": "RoleBinding", "metadata": {"name": name}, "roleRef": reference}
    subjects = _subjects(users, groups, accounts)
    await generated(session, "rolebinding", obj | ({"subjects": subjects} if subjects else {}), settings)


@click.command("clusterrolebinding", cls=_Binding)
@click.argument("name")
@click.option("--clusterrole", required=True)
@_subject_options
@generator
@verb
async def cluster_role_binding(
    session: Session,
    name: str,
    clusterrole: str,
    users: tuple[str, ...],
    groups: tuple[str, ...],
    accounts: tuple[str, ...],
    **settings: Any,
) -> None:
    """Give a cluster role to users, groups and service accounts, everywhere."""
    reference = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": clusterrole}
    obj: dict[str, Any] = {
        "apiVersion": _RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": reference,
    }
    subjects = _subjects(users, groups, accounts)
    await generated(session, "clusterrolebinding", obj | ({"subjects": subjects} if subjects else {}), settings)


@click.command("token", cls=Verb)
@click.argument("name")
@click.option("--duration", default="", help="How long it is good.")
@click.option("--audience", "audiences", multiple=True)
@click.option("--bound-object-kind", default="")
@click.option("--bound-object-name", default="")
@click.option("--bound-object-uid", default="")
@take.output
@verb
async def token(
    session: Session,
    name: str,
    duration: str,
    audiences: tuple[str, ...],
    bound_object_kind: str,
    bound_object_name: str,
    bound_object_uid: str,
    output: str,
) -> None:
    """Ask for a token of a service account."""
    from apiserver.api.errors import ApiError
    from apiserver.api.kinds import Kind
    from apiserver.client import requests

    from ..output import printers
    from ..output.ages import duration_s

    spec: dict[str, Any] = {"audiences": list(audiences)} if audiences else {}
    if duration:
        spec["expirationSeconds"] = int(duration_s(duration))
    if bound_object_kind:
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": bound_object_kind, "name": bound_object_name}
        if bound_object_uid:
            spec["boundObjectRef"]["uid"] = bound_object_uid
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec}
    kind = Kind("ServiceAccount", "", "v1", "serviceaccounts")
    path = requests.path_of(kind, session.namespace, name, "token")
    try:
        answer = await session.api.json(requests.create(path, body))
    except ApiError as error:
        raise CommandError(f"failed to create token: {error.message}") from None
    if output:
        printer = printers.printer_of(output)
        click.echo(printer.printed(answer) + printer.finish(), nl=False)
    else:
        session.say(answer["status"]["token"])
