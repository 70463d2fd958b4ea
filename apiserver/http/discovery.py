"""Says what the server serves, from the table of resources: plain discovery, aggregated discovery, the version.

Everything is worked out from the rows and nothing else, so a kind that has a row is found by every client. Bytes are
built when they are first asked for and kept: a few tens of KiB in all.
"""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Iterable
from typing import Any

import msgspec

from apiserver.registry.resource import Resource, Subresource

from . import negotiation
from .documents import Document
from .negotiation import Form

MAJOR, MINOR = "1", "33"  # the Kubernetes release whose API this is

#: The kinds that users have defined: none. kubectl reads this list before it says that nobody serves a kind, and
#: where the list cannot be had it speaks of that instead of the kind.
DEFINED_KINDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_NO_DEFINED_KINDS: dict[str, Any] = {
    "kind": "CustomResourceDefinitionList",
    "apiVersion": "apiextensions.k8s.io/v1",
    "metadata": {},
    "items": [],
}


def version_document(kmini_version: str) -> Document:
    """`/version`. Nothing here is Go; the fields that speak of it say so."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return _json(
        {
            "major": MAJOR,
            "minor": MINOR,
            "gitVersion": f"v{MAJOR}.{MINOR}.0+kmini.{kmini_version}",
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "",
            "goVersion": "none",
            "compiler": f"{platform.python_implementation()} {platform.python_version()}",
            "platform": f"{platform.system().lower()}/{machine}",
        }
    )


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """Changes when objects are stored in another version; the same that Kubernetes gives its kinds."""
    digest = hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _json(value: Any, content_type: str = "application/json") -> Document:
    return Document.of(msgspec.json.encode(value), content_type)


def subresource_kind(row: Resource, sub: Subresource) -> tuple[str, str, str]:
    """Group, version and kind of its body; the row's own where it names none."""
    return (sub.group, sub.version, sub.kind) if sub.version else (row.group, row.version, sub.kind)


class Discovery:
    """Answers `/api`, `/apis` and what lies below down to a version. Rows with an empty group are under `/api`.

    The first version a group has in `rows` is the one clients should prefer.
    """

    def __init__(self, rows: Iterable[Resource], *, server_address: str = "") -> None:
        self._rows = tuple(rows)
        self._server_address = server_address
        self._stored = {row.key: row for row in self._rows if not row.stored_as}
        self._groups: dict[str, dict[str, list[Resource]]] = {}
        for row in self._rows:
            self._groups.setdefault(row.group, {}).setdefault(row.version, []).append(row)
        self._ahead = self._ahead_of_core()
        self._built: dict[tuple[str, str], Document] = {}

    def _ahead_of_core(self) -> list[str]:
        """Groups whose resources the core group has too, but only in a version that nobody should prefer.

        kubectl takes a bare name (`kubectl get deployments`) from the first group that knows it, and puts what
        aggregated `/api` lists before what `/apis` lists. So these groups are listed in the former, ahead of the
        core group, and not in the latter: a group that is listed twice is ambiguous.
        """
        first, *others = self._groups.get("", {"": []}).values()
        shared = {row.plural for rows in others for row in rows} - {row.plural for row in first}
        return [
            name
            for name, versions in self._groups.items()
            if name and any(row.plural in shared for rows in versions.values() for row in rows)
        ]

    def document(self, path: str, accept: str | None = None) -> Document | None:
        """None: no such path. Raises NotAcceptable. `path` without query and trailing slash, as in `/apis/apps/v1`."""
        aggregated = path in ("/api", "/apis")
        accepted = negotiation.negotiate(accept, negotiation.DISCOVERY if aggregated else negotiation.ONLY_JSON)
        key = (path, accepted.version)
        if key not in self._built:
            value = self._aggregated(path, accepted.version) if accepted.form is Form.DISCOVERY else self._plain(path)
            if value is None:
                return None
            self._built[key] = _json(value, accepted.content_type)
        return self._built[key]

    # --- plain ---

    def _plain(self, path: str) -> dict[str, Any] | None:
        if path == DEFINED_KINDS:
            return _NO_DEFINED_KINDS
        match path.strip("/").split("/"):
            case ["api"]:
                return self._api_versions()
            case ["apis"]:
                groups = [self._group(name) for name in self._groups if name]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
            case ["api", version]:
                return self._resource_list("", version)
            case ["apis", group] if group in self._groups:
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["apis", group, version] if group:
                return self._resource_list(group, version)
        return None

    def _api_versions(self) -> dict[str, Any]:
        addresses = []
        if self._server_address:
            addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._server_address}]
        versions = list(self._groups.get("", {}))
        return {"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": addresses}

    def _group(self, name: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in self._groups[name]]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def _resource_list(self, group: str, version: str) -> dict[str, Any] | None:
        rows = self._groups.get(group, {}).get(version)
        if rows is None:
            return None
        resources = [each for row in rows for each in self._plain_resources(row)]
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": sorted(resources, key=lambda each: str(each["name"])),
        }

    def _plain_resources(self, row: Resource) -> Iterable[dict[str, Any]]:
        resource: dict[str, Any] = {
            "name": row.plural,
            "singularName": row.singular_name,
            "namespaced": row.namespaced,
            "kind": row.kind,
            "verbs": sorted(row.verbs),
        }
        if row.short_names:
            resource["shortNames"] = list(row.short_names)
        if row.categories:
            resource["categories"] = list(row.categories)
        if "get" in row.verbs and not row.computed:
            stored = self._stored.get(row.stored_as, row)
            resource["storageVersionHash"] = storage_version_hash(stored.group, stored.version, stored.kind)
        yield resource
        for sub in row.subresources:
            yield self._plain_subresource(row, sub)

    def _plain_subresource(self, row: Resource, sub: Subresource) -> dict[str, Any]:
        group, version, kind = subresource_kind(row, sub)
        other = {} if (group, version) == (row.group, row.version) else {"group": group, "version": version}
        return {
            "name": f"{row.plural}/{sub.name}",
            "singularName": "",
            "namespaced": row.namespaced,
            **other,
            "kind": kind,
            "verbs": sorted(sub.verbs),
        }

    # --- aggregated ---

    def _aggregated(self, path: str, version: str) -> dict[str, Any]:
        if path == "/api":
            names = [*self._ahead, *(name for name in self._groups if not name)]
        else:
            names = [name for name in self._groups if name and name not in self._ahead]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [self._aggregated_group(name) for name in names],
        }

    def _aggregated_group(self, name: str) -> dict[str, Any]:
        versions = [
            {
                "version": version,
                "resources": [_aggregated_resource(row) for row in sorted(rows, key=lambda row: row.plural)],
                "freshness": "Current",
            }
            for version, rows in self._groups[name].items()
        ]
        return {"metadata": {"name": name} if name else {}, "versions": versions}


def _aggregated_resource(row: Resource) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular_name,
        "verbs": sorted(row.verbs),
    }
    if row.short_names:
        resource["shortNames"] = list(row.short_names)
    if row.categories:
        resource["categories"] = list(row.categories)
    if row.subresources:
        resource["subresources"] = [
            _aggregated_subresource(row, sub) for sub in sorted(row.subresources, key=lambda sub: sub.name)
        ]
    return resource


def _aggregated_subresource(row: Resource, sub: Subresource) -> dict[str, Any]:
    group, version, kind = subresource_kind(row, sub)
    return {
        "subresource": sub.name,
        "responseKind": {"group": group, "version": version, "kind": kind},
        "verbs": sorted(sub.verbs),
    }
