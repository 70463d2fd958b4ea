"""Which resource a word means, and which objects words name. The messages are kubectl's."""

from __future__ import annotations

import pytest
from kminictl.cluster.discovery import Catalogue, Resource
from kminictl.cluster.selecting import Target, _of_words
from kminictl.failures import CommandError

from apiserver.api.kinds import Kind


def row(
    kind: str, group: str, version: str, plural: str, *short: str, namespaced: bool = True, **more: object
) -> Resource:
    return Resource(
        kind=Kind(kind, group, version, plural, namespaced),
        singular=kind.lower(),
        short_names=short,
        verbs=("get", "list"),
        **more,  # type: ignore[arg-type]  # only what is asked for here
    )


CATALOGUE = Catalogue(
    [
        row("Deployment", "apps", "v1", "deployments", "deploy", categories=("all",)),
        row("Pod", "", "v1", "pods", "po", categories=("all",)),
        row("Node", "", "v1", "nodes", "no", namespaced=False),
        row("Event", "", "v1", "events", "ev"),
        row("Deployment", "", "v1alpha1", "deployments", preferred=False),
        row("Event", "events.k8s.io", "v1", "events", "ev"),
        row("Pod", "metrics.k8s.io", "v1beta1", "pods"),
    ]
)


@pytest.mark.parametrize(
    ("word", "group", "version"),
    [
        ("pods", "", "v1"),
        ("Pod", "", "v1"),
        ("po", "", "v1"),
        ("deploy", "apps", "v1"),
        ("deployments.apps", "apps", "v1"),
        ("deployments.v1.apps", "apps", "v1"),
        ("deployments.v1alpha1.", "", "v1alpha1"),
        ("ev", "", "v1"),
        ("events.events.k8s.io", "events.k8s.io", "v1"),
        ("pods.metrics.k8s.io", "metrics.k8s.io", "v1beta1"),
    ],
)
def test_what_a_type_means(word: str, group: str, version: str) -> None:
    found = CATALOGUE.find(word).kind
    assert (found.group, found.version) == (group, version)


@pytest.mark.parametrize("word", ["nope", "pods.apps", "deployments.v2.apps", ""])
def test_a_type_there_is_not(word: str) -> None:
    with pytest.raises(CommandError, match="the server doesn't have a resource type"):
        CATALOGUE.find(word)


def named(*words: str) -> list[str]:
    return [f"{each}@{each.namespace}" for each in _of_words(CATALOGUE, words, "ns", "get")]


@pytest.mark.parametrize(
    ("words", "targets"),
    [
        (("pods",), ["pod/@ns"]),
        (("pods", "a", "b"), ["pod/a@ns", "pod/b@ns"]),
        (("po,deploy",), ["pod/@ns", "deployment.apps/@ns"]),
        (("po,deploy", "a"), ["pod/a@ns", "deployment.apps/a@ns"]),
        (("all",), ["deployment.apps/@ns", "pod/@ns"]),
        (("pod/a", "deploy/b", "no/c"), ["pod/a@ns", "deployment.apps/b@ns", "node/c@None"]),
    ],
)
def test_what_words_name(words: tuple[str, ...], targets: list[str]) -> None:
    assert named(*words) == targets


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pods", "pod/a"), "there is no need to specify a resource type as a separate argument"),
        (("pod/a/b",), "may not have more than one slash"),
        (("pod/",), "must have a single resource and name"),
        (("/a",), "must have a single resource and name"),
        (("nope/a",), "doesn't have a resource type"),
    ],
)
def test_words_that_make_no_sense(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        named(*words)


def test_names_of_objects() -> None:
    target = Target(resource=CATALOGUE.find("deploy"), name="web", namespace="ns")
    assert (str(target), target.resource.qualified) == ("deployment.apps/web", "deployments.apps")
