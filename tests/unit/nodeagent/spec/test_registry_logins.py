"""Names of images, and with which credentials they are pulled."""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.core.config import Secret
from nodeagent.spec.image_names import repository_of
from nodeagent.spec.registry_logins import CONTENT_BYTES_MAX, PLACES_MAX, credentials_for, matches, places_of

KEY = ".dockerconfigjson"
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.25", "docker.io/library/nginx"),
        (f"nginx@{DIGEST}", "docker.io/library/nginx"),
        ("team/web", "docker.io/team/web"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("index.docker.io/team/web", "docker.io/team/web"),
        ("localhost/web", "localhost/web"),
        ("localhost:5000/web:1", "localhost:5000/web"),
        ("registry.test/a/b-c__d.e:v1.0", "registry.test/a/b-c__d.e"),
        (f"registry.test:443/a:1@{DIGEST}", "registry.test:443/a"),
        ("[fd00::1]:5000/web", "[fd00::1]:5000/web"),
        ("Registry/web", "Registry/web"),
    ],
)
def test_repositories(image: str, repository: str) -> None:
    assert repository_of(image) == repository


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "invalid reference format"),
        ("Nginx", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("Team/Web:1", "invalid reference format: repository name (Web) must be lowercase"),
        ("a b", "invalid reference format"),
        ("nginx:", "invalid reference format"),
        ("nginx:-1", "invalid reference format"),
        ("-nginx", "invalid reference format"),
        ("nginx@sha256:abc", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("http://registry.test/web", "invalid reference format"),
        ("web\n", "invalid reference format"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("a" * 256, "repository name must not be more than 255 characters"),
    ],
)
def test_no_name_of_an_image(image: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        repository_of(image)


@given(st.text(max_size=100))
def test_any_text_is_a_name_or_not(text: str) -> None:
    with suppress(ValueError):
        assert "/" in repository_of(text)


@pytest.mark.timeout(120)
def test_a_long_name_is_refused_soon() -> None:
    for text in ("a-" * 100_000, "a/" * 100_000, "a." * 100_000 + "!", "a__" * 50_000 + "A"):
        with pytest.raises(ValueError, match="invalid"):
            repository_of(text)


# --- which place is meant ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "repository", "expected"),
    [
        ("registry.test", "registry.test/a/b", True),
        ("registry.test/a", "registry.test/a/b", True),
        ("registry.test/b", "registry.test/a/b", False),
        ("*.test", "registry.test/a", True),
        ("*.test", "x.registry.test/a", False),
        ("*.*.test", "x.registry.test/a", True),
        ("reg*.test", "registry.test/a", True),
        ("*", "registry.test/a", False),
        ("registry.test:5000", "registry.test/a", False),
        ("registry.test", "registry.test:5000/a", False),
        ("registry.test:5000", "registry.test:5000/a", True),
        ("registry.test:*", "registry.test:5000/a", False),
        ("gistry.test", "registry.test/a", False),
    ],
)
def test_places(where: str, repository: str, expected: bool) -> None:
    assert matches(where, repository) is expected


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def config(auths: dict[str, Any]) -> Secret:
    return secret_with(json.dumps({"auths": auths, "credsStore": "desktop"}).encode())


def secret_with(content: bytes, type_: str = "kubernetes.io/dockerconfigjson", key: str = KEY) -> Secret:
    return Secret(type=type_, data={key: base64.b64encode(content).decode()})


def asked(secret: Secret, image: str) -> list[tuple[str, str]]:
    return [(each.username, each.password) for each in credentials_for(image, places_of(secret))]


def test_the_most_exact_place_comes_first() -> None:
    secret = config(
        {
            "registry.test": auth("any", "1"),
            "https://registry.test/v2/": auth("url", "2"),
            "registry.test/team": auth("team", "pass:word"),
            "registry.test/team/": auth("team", "pass:word"),
            "other.test": auth("other", "4"),
            "*.test": {"username": "wild", "password": "5"},
        }
    )
    assert asked(secret, "registry.test/team/web:1") == [
        ("team", "pass:word"),
        ("any", "1"),
        ("url", "2"),
        ("wild", "5"),
    ]
    assert asked(secret, "registry.test/web") == [("any", "1"), ("url", "2"), ("wild", "5")]
    assert asked(secret, "nowhere.example/web") == []
    assert asked(secret, "No Image") == []


@pytest.mark.parametrize("place", ["https://index.docker.io/v1/", "index.docker.io", "docker.io"])
def test_dockers_own_registry(place: str) -> None:
    secret = config({place: auth("me", "secret")})
    for image in ("nginx", "team/web:1", "docker.io/team/web"):
        assert asked(secret, image) == [("me", "secret")]
    assert asked(secret, "registry.test/web") == []


def test_the_old_form() -> None:
    content = json.dumps({"registry.test": auth("me", "old")}).encode()
    secret = secret_with(content, "kubernetes.io/dockercfg", ".dockercfg")
    assert asked(secret, "registry.test/web") == [("me", "old")]


# --- what is wrong with a secret --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (secret_with(b"{}", "Opaque"), "its type is 'Opaque'"),
        (Secret(type="kubernetes.io/dockerconfigjson"), "it has no .dockerconfigjson"),
        (secret_with(b"hunter2"), "not in docker's form"),
        (secret_with(b'{"auths": {"a": "hunter2"}}'), "not in docker's form"),
        (secret_with(b'{"auths": {"a": {"auth": "\xff hunter2"}}}'), "not in docker's form"),
        (secret_with(b'{"other": ' + b"[" * 100_000), "not in docker's form"),
        (secret_with(b'{"auths": {"a": {"auth": "hunter2!"}}}'), "not `user:password` in base64"),
        (secret_with(b'{"auths": {"a": {"auth": "aHVudGVyMg=="}}}'), "not `user:password` in base64"),
        (secret_with(b'{"auths": {"https://[hunter2": {}}}'), "no URL"),
        (secret_with(b" " * (CONTENT_BYTES_MAX + 3)), "longer than"),
        (config({f"r{number}.test": {} for number in range(PLACES_MAX + 1)}), "more than 1000 registries"),
    ],
)
def test_a_bad_secret_is_named_and_not_shown(secret: Secret, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        places_of(secret)
    assert "hunter2" not in str(caught.value) + repr(caught.value.__cause__)


def test_nothing_shows_a_password() -> None:
    (place,) = places_of(config({"registry.test": auth("me", "hunter2")}))
    assert "hunter2" not in repr(place)


@given(st.binary(max_size=200))
def test_any_content_is_credentials_or_not(content: bytes) -> None:
    with suppress(ValueError):
        assert places_of(secret_with(content)) is not None
