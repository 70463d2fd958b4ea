"""Quantities: Kubernetes' own cases, and what must hold for all of them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api import quantity
from apiserver.api.quantity import FORMAT_WRONG, NUMBER_WRONG, SUFFIX_WRONG, ZERO, Form, Quantity, canonical, parse

CANONICAL = {
    "0": "0",
    "00": "0",
    "0Ki": "0",
    "-0": "0",
    "1": "1",
    "+1": "1",
    "-9.01": "-9010m",
    "1000m": "1",
    "100m": "100m",
    "0.1": "100m",
    "1.500": "1500m",
    "0.001": "1m",
    ".001": "1m",
    "1.": "1",
    "1.G": "1G",
    "0.0005k": "500m",
    "100.035k": "100035",
    "1000M": "1G",
    "1000000k": "1G",
    "0.001T": "1G",
    "1234567M": "1234567M",
    "1080000000n": "1080m",
    "1000u": "1m",
    "12E": "12E",
    "1000E": "1000E",
    "1Ki": "1Ki",
    "-1Ki": "-1Ki",
    "1024Mi": "1Gi",
    "1536Mi": "1536Mi",
    "1.5Gi": "1536Mi",
    "307200Ki": "300Mi",
    "1025Ki": "1025Ki",
    "1024Gi": "1Ti",
    "3Ei": "3Ei",
    "0.5Mi": "512Ki",
    "0.5Ki": "512",
    ".001Ki": "1024m",
    ".000001Ki": "1024u",
    ".000000001Ki": "1024n",
    "100.035Ki": "102435840m",
    "1e3": "1e3",
    "1E3": "1e3",
    "1E-3": "1e-3",
    "1.2e3": "1200",
    "1.3E+6": "1300e3",
    ".001e12": "1e9",
    "1000e-12": "1e-9",
    "0.001e0": "1e-3",
    "1e14": "100e12",
    "128Mi": "128Mi",
    " 5 ": "5",
    # finer than 10^-9: rounded away from zero
    "3.001n": "4n",
    "0.9n": "1n",
    "-0.9n": "-1n",
    "1.1E-9": "2e-9",
    "0.00000012345": "124n",
    "0.0000000001": "1n",
    ".000000000001Ki": "2n",
    "1e-400": "1e-9",
    # binary amounts have a ceiling
    "9Ei": "9223372036854775807",
    "9223372036854775807Ki": "9223372036854775807",
}

REFUSED = {
    "": FORMAT_WRONG,
    "+": FORMAT_WRONG,
    "-": FORMAT_WRONG,
    "1.1.M": FORMAT_WRONG,
    "1+1.0M": FORMAT_WRONG,
    "aoeu": FORMAT_WRONG,
    "1 1": FORMAT_WRONG,
    "1\n1": FORMAT_WRONG,
    "１": FORMAT_WRONG,
    "0x10": FORMAT_WRONG,
    "1e3.5": FORMAT_WRONG,
    "9" * 129: FORMAT_WRONG,
    ".": NUMBER_WRONG,
    "-.": NUMBER_WRONG,
    "0.1mi": SUFFIX_WRONG,
    "1i": SUFFIX_WRONG,
    "1MM": SUFFIX_WRONG,
    "1KI": FORMAT_WRONG,
    "1K": SUFFIX_WRONG,
    "-3.01e-": SUFFIX_WRONG,
    "1e401": SUFFIX_WRONG,
    "1e99999999999999999999": SUFFIX_WRONG,
}

NUMBERS = {0: "0", 1: "1", -5: "-5", 1000: "1k", 0.1: "100m", 1.5: "1500m", 2.0: "2", 1e-7: "100e-9", 5e-324: "1e-9"}


@pytest.mark.parametrize(("text", "expected"), CANONICAL.items())
def test_canonical_form(text: str, expected: str) -> None:
    assert canonical(text) == expected
    assert canonical(expected) == expected
    assert str(parse(text)) == expected


@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_what_is_refused_and_how(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="quantit") as raised:
        canonical(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(("number", "expected"), NUMBERS.items())
def test_numbers_of_a_manifest(number: float, expected: str) -> None:
    assert canonical(number) == expected


def repr_of(given_value: object) -> str:
    """Python refuses to write huge numbers."""
    return type(given_value).__name__


@pytest.mark.parametrize(
    "given_value", [True, None, [], float("inf"), float("nan"), 1 << 16_000, -(1 << 400)], ids=repr_of
)
def test_what_is_no_amount(given_value: object) -> None:
    with pytest.raises(ValueError, match="quantit"):
        canonical(given_value)  # type: ignore[arg-type]


def test_whole_units_and_thousandths_are_rounded_away_from_zero() -> None:
    assert quantity.value("1500m") == 2
    assert quantity.value("-1500m") == -2
    assert quantity.value("1n") == 1
    assert quantity.value("1Gi") == 2**30
    assert quantity.milli_value("0.1") == 100
    assert quantity.milli_value("1u") == 1
    assert quantity.milli_value(2) == 2000


def test_whole_units_fit_64_bits() -> None:
    assert quantity.value("1e300") == 2**63 - 1
    assert quantity.milli_value("-12E") == -(2**63 - 1)


def test_comparison_is_by_value() -> None:
    assert parse("1024Mi") == parse("1Gi") == Quantity(2**30 * 10**9)
    assert hash(parse("1000m")) == hash(parse("1"))
    assert parse("100m") > parse("50m")
    assert parse("10000T") > parse("100Gi")
    assert parse("-1") < ZERO <= parse("0")
    assert not parse("0n")
    assert parse("1") != "1"


def test_sums_keep_the_family_of_the_first() -> None:
    assert str(parse("1Gi") + parse("1024")) == "1048577Ki"
    assert str(ZERO + parse("1024Ki")) == "1Mi"
    assert str(parse("1") + parse("1024Ki")) == "1048577"
    assert str(parse("1Gi") - parse("512Mi")) == "512Mi"
    assert str(-parse("1e3")) == "-1e3"
    assert repr(parse("1024Mi")) == "Quantity('1Gi')"


def test_a_map_of_amounts_is_copied() -> None:
    amounts: dict[str, str | int | float] = {"cpu": 0.5, "memory": "1024Mi", "nvidia.com/gpu": 1}
    assert quantity.canonicalize_map(amounts) == {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"}
    assert amounts["cpu"] == 0.5


SUFFIXES = {
    **{name: Fraction(10) ** power for name, power in {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6}.items()},
    **{name: Fraction(10) ** power for name, power in {"G": 9, "T": 12, "P": 15, "E": 18, "e5": 5, "E-7": -7}.items()},
    **{name: Fraction(2) ** power for name, power in {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}.items()},
}
amounts_with_suffix = st.tuples(
    st.from_regex(r"[+-]?[0-9]{1,6}(\.[0-9]{0,12})?", fullmatch=True), st.sampled_from(sorted(SUFFIXES))
)


@given(amounts_with_suffix)
def test_the_canonical_form_keeps_the_value_and_is_stable(case: tuple[str, str]) -> None:
    number, suffix = case
    exact = Fraction(number.rstrip(".")) * SUFFIXES[suffix] * 10**9
    up = -(-abs(exact).numerator // abs(exact).denominator)
    parsed = parse(number + suffix)
    assert parsed.nano == (up if exact >= 0 else -up)
    text = canonical(number + suffix)
    assert parse(text) == parsed
    assert canonical(text) == text
    assert "." not in text


@given(st.integers(-(2**70), 2**70), st.sampled_from(Form))
def test_any_amount_can_be_written_and_read(nano: int, form: Form) -> None:
    assert parse(str(Quantity(nano, form))) == Quantity(nano)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        said = str(parse(text))
    except ValueError as error:
        said = str(error)
    assert len(said) <= 128
    assert said in (FORMAT_WRONG, NUMBER_WRONG, SUFFIX_WRONG) or canonical(said) == said
