"""Amounts of a request in the form that is stored.

An amount that cannot be read is as bad as JSON that cannot: the request is refused before any other rule is looked at.
"""

from __future__ import annotations

from apiserver.api.base import ResourceList
from apiserver.api.errors import BadRequest
from apiserver.api.quantity import NANO, Quantity, parse

_MILLI = NANO // 1000


def canonical_quantity(given: str | int | float, path: str) -> str:
    """The canonical text. Raises BadRequest that names `path`."""
    return str(_read(given, path))


def canonical_amounts(amounts: ResourceList, path: str) -> ResourceList:
    """All amounts of a list in canonical form, rounded up to thousandths. Raises BadRequest that names the entry."""
    return {name: _rounded(_read(amount, f"{path}[{name}]")) for name, amount in amounts.items()}


def _rounded(amount: Quantity) -> str:
    rest = amount.nano % _MILLI
    return str(Quantity(amount.nano + _MILLI - rest, amount.form) if rest else amount)


def _read(given: str | int | float, path: str) -> Quantity:
    try:
        return parse(given)
    except ValueError as error:
        raise BadRequest(f"{path}: {error}") from None
