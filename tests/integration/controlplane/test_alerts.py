"""The alert rules ask for numbers that a server really has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from controllers_process import until, with_admin
from kmini_process import Server, running

from apiserver.client import Client, requests

RULES = Path(__file__).parents[3] / "docs" / "alerts.yaml"
#: Words of PromQL; everything else with an underscore in it is a number or, before an equals sign, a label.
NOT_NUMBERS = {"histogram_quantile", "group_right"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the numbers of a server whose controllers run."""
    server = Server("n1", tmp_path_factory.mktemp("alerts") / "n1", "--etcd-port", "0", controllers="in-process")
    with running(server):
        return with_admin(server, _names)


async def _names(client: Client) -> set[str]:
    async def leading() -> str:
        text = (await client.send(requests.get("/metrics"))).body.decode()
        return text if "scheduler_pending_pods" in text else ""  # the last of the parts

    return set(re.findall(r"^# TYPE (\w+) ", await until(leading), re.MULTILINE))


def rules() -> list[dict[str, object]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_number_an_alert_asks_for_is_served(rule: dict[str, object], served: set[str]) -> None:
    asked = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b(?!\s*=)", re.sub(r'"[^"]*"', "", str(rule["expr"])))) - NOT_NUMBERS
    assert asked
    for name in asked:
        assert {name, re.sub(r"_(bucket|count|sum)$", "", name), name.removesuffix("_total")} & served, name


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_what_is_and_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    assert set(rule["annotations"]) == {"summary", "action"}
    assert rule["labels"]["severity"] in ("critical", "warning")
