"""Amounts of resources: `100m` of a CPU, `128Mi` of memory, exactly as Kubernetes reads and writes them.

The rules are those of k8s.io/apimachinery/pkg/api/resource. An amount is a whole number of 10^-9; what is finer is
rounded away from zero, so that who asks for a little gets a little. An amount remembers the family of its suffix
(decimal, binary, exponent) and is written in its canonical form: no fraction, the largest suffix that loses nothing.
Writing a canonical form again changes nothing.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache, total_ordering

from .base import ResourceList

NANO = 10**9
INT64_MAX = 2**63 - 1
#: Longer texts and larger exponents are refused: nobody needs them, and they cost time.
CHARACTERS_MAX = 128
EXPONENT_MAX = 400
_CACHED_TEXTS_MAX = 4_096

FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NUMBER_WRONG = "unable to parse numeric part of quantity"
SUFFIX_WRONG = "unable to parse quantity's suffix"

_quantity_re = re.compile(r"([+-]?)([0-9]*+)(?:\.([0-9]*+))?+([eEinumkKMGTP]*+[-+]?+[0-9]*+)")
_exponent_re = re.compile("[eE]([-+]?[0-9]+)")


class Form(Enum):
    """The family of suffixes an amount is written with."""

    DECIMAL = "DecimalSI"
    BINARY = "BinarySI"
    EXPONENT = "DecimalExponent"


_DECIMAL_EXPONENTS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_EXPONENTS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIXES = {exponent: suffix for suffix, exponent in _DECIMAL_EXPONENTS.items()}
_BINARY_SUFFIXES = {exponent: suffix for suffix, exponent in _BINARY_EXPONENTS.items()} | {0: ""}


@total_ordering
class Quantity:
    """An exact amount. Compared by its value alone: `1024Mi` equals `1Gi` and `1000m` equals `1`."""

    __slots__ = ("form", "nano")

    def __init__(self, nano: int, form: Form = Form.DECIMAL) -> None:
        self.nano = nano
        self.form = form

    def __eq__(self, other: object) -> bool:
        return self.nano == other.nano if isinstance(other, Quantity) else NotImplemented

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __add__(self, other: Quantity) -> Quantity:
        """Keeps this one's family, or takes the other's when this one is zero."""
        return Quantity(self.nano + other.nano, self.form if self.nano else other.form)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.form if self.nano else other.form)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.form)

    def __str__(self) -> str:
        return _written(self.nano, self.form)

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"


ZERO = Quantity(0)


def parse(given: str | int | float | Quantity) -> Quantity:
    """The amount a text or a number of a manifest stands for. ValueError says what is wrong, in Kubernetes' words."""
    if isinstance(given, Quantity):
        return given
    if isinstance(given, str):
        return _parse_text(given)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(FORMAT_WRONG)
    if isinstance(given, int) and given.bit_length() > 3 * CHARACTERS_MAX:
        raise ValueError(NUMBER_WRONG)
    return _parse_text(repr(int(given) if float(given).is_integer() and abs(given) < NANO**2 else given))


def canonical(given: str | int | float | Quantity) -> str:
    """The canonical text of an amount: what is stored and shown. ValueError as `parse`."""
    return _canonical_text(given) if isinstance(given, str) else str(parse(given))


def value(given: str | int | float | Quantity) -> int:
    """Whole units, rounded away from zero; at most what 64 bits hold."""
    return _scaled(parse(given).nano, NANO)


def milli_value(given: str | int | float | Quantity) -> int:
    """Thousandths, rounded away from zero; at most what 64 bits hold."""
    return _scaled(parse(given).nano, NANO // 1000)


def canonicalize_map(amounts: ResourceList) -> ResourceList:
    """A copy with every amount in its canonical form. ValueError as `parse`."""
    return {name: canonical(amount) for name, amount in amounts.items()}


def _scaled(nano: int, unit: int) -> int:
    amount = min(_divided_up(abs(nano), unit), INT64_MAX)
    return amount if nano >= 0 else -amount


def _divided_up(amount: int, divisor: int) -> int:
    return -(-amount // divisor)


@lru_cache(_CACHED_TEXTS_MAX)
def _canonical_text(text: str) -> str:
    return str(_parse_text(text))


@lru_cache(_CACHED_TEXTS_MAX)
def _parse_text(text: str) -> Quantity:
    """White space around an amount is dropped, as Kubernetes does when it reads JSON."""
    text = text.strip(" \t\r\n")
    match = _quantity_re.fullmatch(text) if len(text) <= CHARACTERS_MAX else None
    if match is None:
        raise ValueError(FORMAT_WRONG)
    sign, whole, fraction, suffix = match[1], match[2], match[3] or "", match[4]
    if not whole and not fraction:
        raise ValueError(NUMBER_WRONG if match[3] is not None else FORMAT_WRONG)
    base, exponent, form = _interpreted(suffix)
    nano, rest = _to_nano(int(whole + fraction), base, exponent, len(fraction))
    nano += 1 if rest else 0
    if form is Form.BINARY:
        nano = min(nano, INT64_MAX * NANO)
        form = Form.DECIMAL if 0 < nano < NANO else form
    return Quantity(-nano if sign == "-" else nano, form)


def _interpreted(suffix: str) -> tuple[int, int, Form]:
    """Base, exponent and family of a suffix."""
    if suffix in _DECIMAL_EXPONENTS:
        return 10, _DECIMAL_EXPONENTS[suffix], Form.DECIMAL
    if suffix in _BINARY_EXPONENTS:
        return 2, _BINARY_EXPONENTS[suffix], Form.BINARY
    match = _exponent_re.fullmatch(suffix)
    if match is None or abs(int(match[1])) > EXPONENT_MAX:
        raise ValueError(SUFFIX_WRONG)
    return 10, int(match[1]), Form.EXPONENT


def _to_nano(digits: int, base: int, exponent: int, decimals: int) -> tuple[int, int]:
    """`digits * base^exponent / 10^decimals` in whole 10^-9, and whether something is left over."""
    up: int = base ** max(exponent, 0)
    down: int = base ** max(-exponent, 0) * 10**decimals
    return divmod(digits * NANO * up, down)


def _written(nano: int, form: Form) -> str:
    if nano == 0:
        return "0"
    if form is Form.BINARY and abs(nano) >= 1024 * NANO and nano % NANO == 0:
        amount, exponent = _reduced(nano // NANO, factor=1024, exponent=0, step=10, limit=60)
        return f"{amount}{_BINARY_SUFFIXES[exponent]}"
    if form is Form.EXPONENT:
        amount, exponent = _reduced(nano, factor=1000, exponent=-9, step=3, limit=2 * EXPONENT_MAX)
        return f"{amount}e{exponent}" if exponent else str(amount)
    amount, exponent = _reduced(nano, factor=1000, exponent=-9, step=3, limit=18)
    return f"{amount}{_DECIMAL_SUFFIXES[exponent]}"


def _reduced(amount: int, *, factor: int, exponent: int, step: int, limit: int) -> tuple[int, int]:
    """Takes factors out of the amount while nothing is lost and the suffixes go on."""
    while exponent < limit and amount % factor == 0:
        amount //= factor
        exponent += step
    return amount, exponent
