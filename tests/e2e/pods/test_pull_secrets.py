"""Images of a registry that wants to know who asks: with the right credentials, the wrong ones, and none."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from image_registry import PASSWORD, USER, registry
from kmini.images import sample_archive
from pods_place import PodsPlace

TYPE = "kubernetes.io/dockerconfigjson"


@pytest.fixture
def image() -> Iterator[str]:
    with registry(sample_archive()) as name:
        yield name


def login(place: PodsPlace, name: str, where: str, password: str) -> None:
    """A Secret as `kubectl create secret docker-registry` makes it."""
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    config = json.dumps({"auths": {where: {"username": USER, "password": password, "auth": auth}}})
    place.create("secrets", name, type=TYPE, data={".dockerconfigjson": base64.b64encode(config.encode()).decode()})


def asking(place: PodsPlace, name: str, image: str, *secrets: str, **spec: Any) -> None:
    container = {"name": "main", "image": image, "imagePullPolicy": "Always", "command": ["sleep", "1000"]}
    place.make(name, container, imagePullSecrets=[{"name": each} for each in secrets], **spec)


def test_who_knows_the_password_and_who_does_not(place: PodsPlace, image: str) -> None:
    host = image.partition("/")[0]
    login(place, "right", f"http://{host}", PASSWORD)
    login(place, "wrong", host, "guessed")
    login(place, "elsewhere", "registry.test", PASSWORD)
    asking(place, "welcome", image, "elsewhere", "right")
    asking(place, "guesses", image, "wrong")
    asking(place, "stranger", image, "elsewhere")
    asking(place, "forgetful", image, "lost")
    asking(place, "tries", image, "wrong", "right")
    place.runs("welcome")
    place.runs("tries")
    place.has_event("welcome", "Pulled", f'Successfully pulled image "{image}"')
    for name in ("guesses", "stranger", "forgetful"):
        waiting = place.waits(name, "ImagePullBackOff")
        assert "401" in waiting["message"] or "authorization failed" in waiting["message"]
        assert "guessed" not in waiting["message"]
    words = "Unable to retrieve some image pull secrets (lost); attempting to pull the image may not succeed."
    place.has_event("forgetful", "FailedToRetrieveImagePullSecret", words)


def test_secrets_of_the_service_account(place: PodsPlace, image: str) -> None:
    login(place, "of-account", image.partition("/")[0], PASSWORD)
    place.create("serviceaccounts", "puller", imagePullSecrets=[{"name": "of-account"}])
    container = {"name": "main", "image": image, "imagePullPolicy": "Always", "command": ["sleep", "1000"]}
    place.make("by-account", container, serviceAccountName="puller", automountServiceAccountToken=False)
    place.runs("by-account")
