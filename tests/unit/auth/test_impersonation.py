"""Impersonation: which rights each header asks for, and who one is afterwards."""

from __future__ import annotations

import pytest

from apiserver.api.errors import BadRequest
from apiserver.auth.impersonation import Impersonation, impersonation
from apiserver.auth.user import ANONYMOUS, Attributes


def read(*headers: tuple[str, str]) -> Impersonation:
    found = impersonation([("Accept", "*/*"), *headers])
    assert found is not None
    return found


def wanted(resource: str, name: str, group: str = "", subresource: str = "", namespace: str = "") -> Attributes:
    return Attributes("impersonate", group, "v1", resource, subresource, namespace, name)


def test_without_such_headers_nobody_is_impersonated() -> None:
    assert impersonation([("Accept", "*/*"), ("Impersonates", "x")]) is None
    assert impersonation([]) is None


def test_a_user() -> None:
    found = read(("impersonate-USER", "jane"))
    assert found.wanted == [wanted("users", "jane")]
    assert (found.user.name, found.user.groups) == ("jane", ("system:authenticated",))


def test_everything_about_a_user() -> None:
    found = read(
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Uid", "u1"),
        ("Impersonate-Extra-Acme.com%2FProject", "p1"),
        ("Impersonate-Extra-Acme.com%2fproject", "p2"),
    )
    assert found.wanted == [
        wanted("users", "jane"),
        wanted("groups", "dev"),
        wanted("groups", "ops"),
        wanted("userextras", "p1", "authentication.k8s.io", "acme.com/project"),
        wanted("userextras", "p2", "authentication.k8s.io", "acme.com/project"),
        wanted("uids", "u1", "authentication.k8s.io"),
    ]
    assert found.user.uid == "u1"
    assert found.user.groups == ("dev", "ops", "system:authenticated")
    assert found.user.extra == {"acme.com/project": ("p1", "p2")}


def test_a_service_account_is_asked_for_as_one_and_brings_its_groups() -> None:
    found = read(("Impersonate-User", "system:serviceaccount:shop:web"))
    assert found.wanted == [wanted("serviceaccounts", "web", namespace="shop")]
    assert found.user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    found = read(("Impersonate-User", "system:serviceaccount:shop:web"), ("Impersonate-Group", "dev"))
    assert found.user.groups == ("dev", "system:authenticated")


def test_the_anonymous_user_stays_unauthenticated() -> None:
    assert read(("Impersonate-User", ANONYMOUS)).user.groups == ("system:unauthenticated",)
    asked = [("Impersonate-User", "jane"), ("Impersonate-Group", "system:unauthenticated")]
    assert read(*asked).user.groups == ("system:unauthenticated",)


@pytest.mark.parametrize(
    "headers",
    [
        [("Impersonate-Group", "dev")],
        [("Impersonate-Uid", "1")],
        [("Impersonate-Extra-x", "1")],
        [("Impersonate-User", "")],
        [("Impersonate-User", "a"), ("Impersonate-User", "b")],
        [("Impersonate-User", "a"), ("Impersonate-Uid", "1"), ("Impersonate-Uid", "2")],
        [("Impersonate-User", "a"), ("Impersonate-Group", "")],
        [("Impersonate-User", "a"), ("Impersonate-Extra-", "x")],
        [("Impersonate-User", "a"), ("Impersonate-Role", "x")],
        [("Impersonate-User", "a" * 2000)],
        [("Impersonate-User", "a"), *[("Impersonate-Group", "g")] * 200],
    ],
)
def test_what_makes_no_sense_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(BadRequest):
        impersonation(headers)
