"""Names, lists of replicas and durations as flags give them."""

from __future__ import annotations

import pytest
from kmini.addresses import check_name, join_host_port, parse_cluster, parse_duration


def test_a_cluster_list_is_read() -> None:
    assert parse_cluster("n1=10.0.0.1:2380, n2=[fd00::2]:2380,n3=host.example:1") == {
        "n1": "10.0.0.1:2380",
        "n2": "[fd00::2]:2380",
        "n3": "host.example:1",
    }


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "not name=host:port"),
        ("n1", "not name=host:port"),
        ("n1=10.0.0.1", "host:port"),
        ("n1=10.0.0.1:0", "host:port"),
        ("n1=10.0.0.1:65536", "host:port"),
        ("n1=:2380", "host:port"),
        ("N1=10.0.0.1:1", "not a name"),
        ("n1=10.0.0.1:1,n1=10.0.0.2:1", "twice"),
        ("n1=10.0.0.1:1,n2=10.0.0.1:1", "one address"),
        (",".join(f"n{number}=10.0.0.{number}:1" for number in range(1, 11)), "at most"),
    ],
)
def test_a_bad_cluster_list_names_the_rule(value: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_cluster(value)


@pytest.mark.parametrize("name", ["a", "n1", "edge-7", "a" * 63])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a_b", "a" * 64, "a/b", "ä"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("45s", 45), ("5m", 300), ("12h", 43200), ("1h30m", 5400), ("1h1m1s", 3661)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1d", "1m1h", "1.5h", "1h "])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_ipv6_is_written_in_brackets() -> None:
    assert join_host_port("::1", 2379) == "[::1]:2379"
    assert join_host_port("127.0.0.1", 2379) == "127.0.0.1:2379"
