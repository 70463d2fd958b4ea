"""The table of resources: what is served, found by path, by kind or by key of the store.

Built once, when it is first asked for. The rows of Kubernetes' versions come first, those of our own alpha version
after them, so that whoever names no version means Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from .resource import Resource


class Group(NamedTuple):
    """A group of the API; "" is the core group. `versions` has the preferred one first."""

    name: str
    versions: tuple[str, ...]

    @property
    def preferred_version(self) -> str:
        return self.versions[0]


class Table:
    """Rows in the order of discovery. Raises ValueError for rows that contradict each other."""

    def __init__(self, rows: Iterable[Resource]) -> None:
        self.rows = tuple(rows)
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self._by_key: dict[str, Resource] = {}
        for row in self.rows:
            self._add(row)
        for row in self.rows:
            if row.stored_as and row.stored_as not in self._by_key:
                raise ValueError(f"{row.api_version} {row.plural} is stored as {row.stored_as}, which has no row")
        self._groups = self._grouped()

    def _add(self, row: Resource) -> None:
        path, kind = (row.group, row.version, row.plural), (row.api_version, row.kind)
        if path in self._by_path or kind in self._by_kind or (not row.stored_as and row.key in self._by_key):
            raise ValueError(f"two rows for {row.api_version} {row.plural} ({row.kind})")
        if bool(row.stored_as) != (row.conversion is not None):
            raise ValueError(f"{row.api_version} {row.plural}: a conversion needs the row it converts to, and it alone")
        self._by_path[path] = self._by_kind[kind] = row
        if not row.stored_as:
            self._by_key[row.key] = row

    def _grouped(self) -> tuple[Group, ...]:
        versions: dict[str, list[str]] = {"": []}  # the core group first
        for row in self.rows:
            known = versions.setdefault(row.group, [])
            if row.version not in known:
                known.append(row.version)
        return tuple(Group(name, tuple(found)) for name, found in versions.items() if found)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The row a path means: `("apps", "v1", "deployments")`."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The row a manifest means: `("apps/v1", "Deployment")`."""
        return self._by_kind.get((api_version, kind))

    def by_key(self, key: str) -> Resource | None:
        """The row of a stored form: `apps/deployments`."""
        return self._by_key.get(key)

    def of_kind(self, api_version: str, kind: str) -> Resource:
        """The row of a kind that must be there. Raises KeyError."""
        return self._by_kind[api_version, kind]

    def of_key(self, key: str) -> Resource:
        """The row of a key that must be there. Raises KeyError."""
        return self._by_key[key]

    def stored(self, resource: Resource) -> Resource:
        """The row of the form a row's objects are stored in; its own for most."""
        return self._by_key[resource.stored_as] if resource.stored_as else resource

    def groups(self) -> tuple[Group, ...]:
        """In discovery order, the core group first."""
        return self._groups


@cache
def table() -> Table:
    """The one table of the server."""
    from . import native, rows  # every type and rule there is: nobody pays for them who only wants the class

    return Table((*rows.ROWS, *native.ROWS))
