"""Steps between versions: forms that do not fit are refused, and several steps work as one."""

from __future__ import annotations

import msgspec
import pytest

from apiserver.api.base import Object
from apiserver.api.forms import Fixed, Form, Same, Steps


class Newest(Object):
    version: str = "v1"
    image: str = ""
    replicas: int = 0
    probes: tuple[str, ...] = ()
    hidden: str = ""


class Middle(Object):
    version: str = "v1beta1"
    image: str = ""
    count: int = 0
    probes: tuple[str, ...] = ()


class Oldest(Object):
    version: str = "v1alpha1"
    picture: str = ""
    count: int = 0


TO_NEWEST = Form(Middle, Newest, version=Fixed("version", shown="v1beta1", stored="v1"), count=Same("replicas"))
TO_MIDDLE = Form(Oldest, Middle, version=Fixed("version", shown="v1alpha1", stored="v1beta1"), picture=Same("image"))
BOTH = Steps(TO_MIDDLE, TO_NEWEST)


def test_two_steps_show_as_one() -> None:
    newest = Newest(image="i", replicas=2, probes=("p",), hidden="h")
    assert BOTH.down(newest) == Oldest(picture="i", count=2)


def test_two_steps_keep_what_either_cannot_show() -> None:
    old = Newest(image="i", replicas=2, probes=("p",), hidden="h")
    assert BOTH.up(Oldest(picture="j", count=3), old) == Newest(image="j", replicas=3, probes=("p",), hidden="h")
    assert old == Newest(image="i", replicas=2, probes=("p",), hidden="h")


def test_two_steps_make_a_new_object() -> None:
    assert BOTH.up(Oldest(picture="j", count=3), None) == Newest(image="j", replicas=3)


@pytest.mark.parametrize(
    "fields", [{}, {"version": Same("version"), "count": Same("replicas"), "stray": Same("image")}]
)
def test_a_form_that_does_not_fit_is_refused_when_it_is_made(fields: dict[str, Same]) -> None:
    with pytest.raises(TypeError, match=r"nothing fits (count|stray)"):
        Form(Middle, Newest, **fields)


def test_a_field_of_another_type_needs_a_word() -> None:
    class Other(msgspec.Struct):
        image: list[str] = []

    class Small(msgspec.Struct):
        image: str = ""

    with pytest.raises(TypeError, match=r"between .*Small and .*Other: nothing fits image"):
        Form(Small, Other)
