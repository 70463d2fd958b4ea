"""The client's short table of kinds says what the server's table of resources says."""

from __future__ import annotations

from apiserver.api.kinds import KINDS, kind_of
from apiserver.registry.resource import SameForm
from apiserver.registry.table import table


def test_every_row_of_the_server_is_known_to_clients_as_the_same() -> None:
    rows = [row for row in table().rows if not isinstance(row.conversion, SameForm)]  # older names of the same
    said = {row.type: (row.kind, row.group, row.version, row.plural, row.namespaced) for row in rows}
    assert {type_: tuple(kind_of(type_)) for type_ in said} == said
    assert len(said) == len(KINDS)
