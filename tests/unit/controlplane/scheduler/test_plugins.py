"""Filters and scores of users: found, checked and weighed; what cannot be used says so in one sentence."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from controllers_world_objects import node
from scheduler_views import View

from controlplane.scheduler import plugins
from controlplane.scheduler.filters.filter import Filter
from controlplane.scheduler.filters.reason import FITS
from controlplane.scheduler.filters.table import FILTERS
from controlplane.scheduler.plugins import FILTERS_GROUP, SCORES_GROUP, PlugInError
from controlplane.scheduler.profile import Profile, default_profile
from controlplane.scheduler.scores.score import Score
from controlplane.scheduler.scores.table import SCORES


class Found(EntryPoint):
    """An entry point that loads what the test gives it."""

    def load(self) -> Any:
        row = _ROWS[self.value]
        if isinstance(row, Exception):
            raise row
        return row


_ROWS: dict[str, Any] = {
    "z:FILTER": Filter(name="Zebra", check=lambda template, node: FITS),
    "a:FILTER": Filter(name="Aardvark", check=lambda template, node: FITS),
    "ours:FILTER": Filter(name="NodePorts", check=lambda template, node: FITS),
    "s:SCORE": Score(name="Mine", weight=4, rate=lambda template, node: 1),
    "broken": ModuleNotFoundError("No module named 'broken'"),
    "odd": "a text",
}


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Any:
    def declare(group: str, **points: str) -> None:
        found = [Found(name=name, value=value, group=group) for name, value in points.items()]
        monkeypatch.setattr(plugins, "entry_points", lambda *, group: [each for each in found if each.group == group])

    return declare


def test_filters_of_users_come_after_ours_by_their_names(declare: Any) -> None:
    declare(FILTERS_GROUP, one="z:FILTER", two="a:FILTER")
    assert [each.name for each in default_profile().filters] == [*(each.name for each in FILTERS), "Aardvark", "Zebra"]


def test_scores_of_users_are_weighed_by_configuration_too(declare: Any) -> None:
    declare(SCORES_GROUP, mine="s:SCORE")
    weights = {score.name: score.weight for score in default_profile().scores}
    assert weights == {score.name: score.weight for score in SCORES if score.weight} | {"Mine": 4}
    weights = {score.name: score.weight for score in default_profile({"Mine": 9, "ImageLocality": 0}).scores}
    assert weights["Mine"] == 9
    assert "ImageLocality" not in weights


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("broken", "plug-in mine (broken) of kmini.scheduler.filters cannot be loaded: ModuleNotFoundError: No module"),
        ("odd", "plug-in mine (odd) of kmini.scheduler.filters is a str, not a controlplane.scheduler.filters.filter"),
        ("s:SCORE", "plug-in mine (s:SCORE) of kmini.scheduler.filters is a Score, not a"),
        ("ours:FILTER", 'of kmini.scheduler.filters has the name "NodePorts", which kmini itself has'),
    ],
)
def test_what_cannot_be_used_says_so(declare: Any, value: str, said: str) -> None:
    declare(FILTERS_GROUP, mine=value)
    with pytest.raises(PlugInError) as caught:
        default_profile()
    assert said in str(caught.value)


def test_two_users_cannot_have_the_same_name(declare: Any) -> None:
    declare(FILTERS_GROUP, one="a:FILTER", two="a:FILTER")
    with pytest.raises(PlugInError, match=r'plug-in two .* the name "Aardvark", which plug-in one .* has'):
        default_profile()


@pytest.mark.parametrize(
    ("weights", "percentage", "said"),
    [
        ({"ImageLocallity": 1}, 0, "no score is named ImageLocallity; there are TaintToleration, "),
        ({"ImageLocality": -1}, 0, "the weight of score ImageLocality must be 0 to 100, not -1"),
        ({"ImageLocality": 101}, 0, "the weight of score ImageLocality must be 0 to 100, not 101"),
        ({}, 101, "the percentage of nodes must be 0 to 100, not 101"),
        ({}, -1, "the percentage of nodes must be 0 to 100, not -1"),
    ],
)
def test_a_configuration_that_cannot_be_says_so(weights: dict[str, int], percentage: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        default_profile(weights, percentage=percentage)


def test_a_profile_knows_which_filters_look_at_one_node() -> None:
    profile = Profile()
    assert len(profile.local_checks) == 5
    assert profile.wide_filters == {"NodeName", "VolumeBinding", "PodTopologySpread", "InterPodAffinity"}


DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "scheduler.md"


def test_the_document_names_every_row_with_its_weight() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if "|" in line]
    assert [row[0] for row in rows[2 : 2 + len(FILTERS)]] == [each.name for each in FILTERS]
    assert [(row[0], row[1]) for row in rows[-len(SCORES) :]] == [(each.name, str(each.weight)) for each in SCORES]


def test_the_example_of_the_document_can_be_used(declare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    example: dict[str, Any] = {}
    exec(code, example)  # our own document
    monkeypatch.setitem(_ROWS, "example", example["RACK_POWER"])
    declare(FILTERS_GROUP, example="example")
    view = View(node("on"), node("off", labels={"power": "off"}), profile=default_profile())
    assert view.why(view.pod()) == {"off": ["node(s) were in a dark rack"]}
    monkeypatch.setitem(_ROWS, "example", example["COOL_NODES"])
    declare(SCORES_GROUP, example="example")
    view = View(node("cool"), node("hot", labels={"heat": "9"}), profile=default_profile())
    assert view.decide(view.pod(), explain=True).by_score["CoolNodes"] == 100
