"""Names, labels, keys and addresses: what Kubernetes takes and refuses, and the words it refuses with."""

from __future__ import annotations

import pytest

from apiserver.api import names
from apiserver.api.names import NameRule

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    "is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
ENV_VAR = "a valid environment variable name must consist only of printable ASCII characters other than '='"
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
LONG_63 = "must be no more than 63 characters"
LONG_253 = "must be no more than 253 characters"

#: What each rule takes.
GOOD: list[tuple[NameRule, list[str]]] = [
    (names.is_dns_label, ["a", "ab", "abc", "a1", "a-1", "a--1--2--b", "0", "01", "012", "1a", "1--a--b--2", "a" * 63]),
    (names.is_dns_subdomain, ["a", "a.b.c", "0.a", "a-1.a-1", "01.2--3", "0.0.0", "a.a", "a" * 253, "a.1.b"]),
    (names.is_dns1035_label, ["a", "ab", "a1", "a-1", "a--1--2--b", "a" * 63]),
    (names.is_wildcard_dns_subdomain, ["*.example.com", "*.bar.com", "*.a"]),
    (
        names.is_qualified_name,
        [
            "simple",
            "now-with-dashes",
            "1-starts-with-num",
            "1234",
            "simple/simple",
            "now-with-dashes/now-with-dashes",
            "now.with.dots/simple",
            "1-num.2-num/3-num",
            "1.2.3.4/5678",
            "Uppercase_Is_OK_123",
            "example.com/Uppercase_Is_OK_123",
            "requests.storage-foo",
            "a" * 63,
            "a" * 253 + "/" + "b" * 63,
        ],
    ),
    (names.is_label_value, ["", "simple", "now-with-dashes", "1234", "end_with.Dots-0", "UpperCase", "a" * 63]),
    (names.is_path_segment_name, ["system:node", "a", "Mixed Case", "...", "a.b", "ä" * 126]),
    (names.is_env_var_name, ["FOO", "my.env-name", "1digit", "with space", "a%b", "~", "!"]),
    (names.is_config_map_key, ["a", "a.b", "key-name", "KEY_NAME", ".hidden", "a..b", "1", "a" * 253]),
    (names.is_port_name, ["a", "http", "a-b-c", "telnet", "re-mail-ck", "1a", "123456789012345"[:14] + "a"]),
    (names.is_percent, ["0%", "1%", "100%", "999%"]),
    (names.is_c_identifier, ["a", "_", "my_name", "A1"]),
    (names.is_http_header_name, ["X-Header-Name", "a", "-"]),
    (names.is_ip, ["1.2.3.4", "::", "2001:db8::ffff", "::ffff:1.2.3.4", "0.0.0.0", "255.255.255.255"]),
    (names.is_ipv4, ["1.2.3.4"]),
    (names.is_ipv6, ["::1"]),
    (names.is_cidr, ["10.0.0.0/8", "10.9.8.7/24", "::/0", "2001:db8::/64", "1.2.3.4/32", "::1/128"]),
]

#: What each rule refuses, with every word of it.
BAD: list[tuple[NameRule, str, list[str]]] = [
    (names.is_dns_label, "", [LABEL]),
    (names.is_dns_label, "A", [LABEL]),
    (names.is_dns_label, "a@b", [LABEL]),
    (names.is_dns_label, "-a", [LABEL]),
    (names.is_dns_label, "a-", [LABEL]),
    (names.is_dns_label, "a\n", [LABEL]),
    (names.is_dns_label, "1.a", ["must not contain dots"]),
    (names.is_dns_label, "a" * 64, [LONG_63]),
    (names.is_dns_label, "A" * 64, [LONG_63, LABEL]),
    (names.is_dns_subdomain, "", [SUBDOMAIN]),
    (names.is_dns_subdomain, "a..b", [SUBDOMAIN]),
    (names.is_dns_subdomain, ".a", [SUBDOMAIN]),
    (names.is_dns_subdomain, "a.-b", [SUBDOMAIN]),
    (names.is_dns_subdomain, "a_b", [SUBDOMAIN]),
    (names.is_dns_subdomain, "ä", [SUBDOMAIN]),
    (names.is_dns_subdomain, "a/b", [SUBDOMAIN]),
    (names.is_dns_subdomain, "a" * 254, [LONG_253]),
    (names.is_dns_subdomain, "A" * 254, [LONG_253, SUBDOMAIN]),
    (names.is_dns1035_label, "0", [LABEL_1035]),
    (names.is_dns1035_label, "1a", [LABEL_1035]),
    (names.is_dns1035_label, "a.b", [LABEL_1035]),
    (names.is_dns1035_label, "a" * 64, [LONG_63]),
    (names.is_qualified_name, "", ["name part must be non-empty", f"name part {QUALIFIED}"]),
    (names.is_qualified_name, "nospecialchars%^=@", [f"name part {QUALIFIED}"]),
    (names.is_qualified_name, "cantendwithadash-", [f"name part {QUALIFIED}"]),
    (names.is_qualified_name, "/simple", ["prefix part must be non-empty"]),
    (names.is_qualified_name, "Upper/simple", [f"prefix part {SUBDOMAIN}"]),
    (names.is_qualified_name, "a" * 254 + "/abc", [f"prefix part {LONG_253}"]),
    (names.is_qualified_name, "a" * 64, [f"name part {LONG_63}"]),
    (
        names.is_qualified_name,
        "only/one/slash",
        [f"a qualified name {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"],
    ),
    (names.is_label_value, "-a", [LABEL_VALUE]),
    (names.is_label_value, "a b", [LABEL_VALUE]),
    (names.is_label_value, "a" * 64, [LONG_63]),
    (names.is_label_value, "-" * 64, [LONG_63, LABEL_VALUE]),
    (names.is_path_segment_name, ".", ["may not be '.'"]),
    (names.is_path_segment_name, "..", ["may not be '..'"]),
    (names.is_path_segment_name, "a/b", ["may not contain '/'"]),
    (names.is_path_segment_name, "a/b%c", ["may not contain '/'", "may not contain '%'"]),
    (names.is_path_segment_name, "ä" * 127, [LONG_253]),
    (names.is_env_var_name, "", ["environment variable name must be non-empty"]),
    (names.is_env_var_name, "a=b", [ENV_VAR]),
    (names.is_env_var_name, "ä", [ENV_VAR]),
    (names.is_env_var_name, "a\tb", [ENV_VAR]),
    (names.is_config_map_key, "", [CONFIG_KEY]),
    (names.is_config_map_key, ".", ["must not be '.'"]),
    (names.is_config_map_key, "..", ["must not be '..'"]),
    (names.is_config_map_key, "..a", ["must not start with '..'"]),
    (names.is_config_map_key, "../a", [CONFIG_KEY, "must not start with '..'"]),
    (names.is_config_map_key, "a" * 254, [LONG_253]),
    (names.is_port_name, "toolongisnotgood", ["must be no more than 15 characters"]),
    (names.is_port_name, "1", ["must contain at least one letter (a-z)"]),
    (names.is_port_name, "a--b", ["must not contain consecutive hyphens"]),
    (names.is_port_name, "-a", ["must not begin or end with a hyphen"]),
    (
        names.is_port_name,
        "",
        [
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "must contain at least one letter (a-z)",
        ],
    ),
    (names.is_percent, "1", [PERCENT]),
    (names.is_percent, "-1%", [PERCENT]),
    (names.is_ip, "1.2.3", [IP]),
    (names.is_ip, "1.2.3.256", [IP]),
    (names.is_ip, "01.2.3.4", [IP]),
    (names.is_ip, "fe80::1%eth0", [IP]),
    (names.is_ip, "", [IP]),
    (names.is_ipv4, "::1", ["must be a valid IPv4 address"]),
    (names.is_ipv6, "1.2.3.4", ["must be a valid IPv6 address"]),
    (names.is_cidr, "10.0.0.0", [CIDR]),
    (names.is_cidr, "10.0.0.0/33", [CIDR]),
    (names.is_cidr, "10.0.0.0/255.0.0.0", [CIDR]),
    (names.is_cidr, "::/129", [CIDR]),
    (names.is_cidr, "10.0.0.0/-1", [CIDR]),
]


@pytest.mark.parametrize(("rule", "texts"), GOOD, ids=lambda each: getattr(each, "__name__", ""))
def test_what_is_taken(rule: NameRule, texts: list[str]) -> None:
    assert {text: rule(text) for text in texts} == {text: [] for text in texts}


@pytest.mark.parametrize(
    ("rule", "text", "messages"), BAD, ids=lambda each: repr(each)[:30] if isinstance(each, str) else ""
)
def test_what_is_refused_and_how(rule: NameRule, text: str, messages: list[str]) -> None:
    assert rule(text) == messages


def test_a_wildcard_needs_its_star() -> None:
    for text in ("example.com", "*example.com", "*", "*.", "a.*.com"):
        assert names.is_wildcard_dns_subdomain(text)[0].startswith("a wildcard DNS-1123 subdomain must start with '*.'")


@pytest.mark.parametrize("rule", [names.is_dns_label, names.is_dns_subdomain, names.is_dns1035_label])
def test_a_generate_name_may_end_in_a_dash(rule: NameRule) -> None:
    assert rule("web-", prefix=True) == []
    assert rule("web-", prefix=False) != []
    assert rule("-", prefix=True) != []


def test_a_prefix_of_a_path_segment_may_be_dots() -> None:
    """What is appended makes it a name."""
    assert names.is_path_segment_name("..", prefix=True) == []
    assert names.is_path_segment_name("a/", prefix=True) == ["may not contain '/'"]


@pytest.mark.parametrize(("number", "fine"), [(0, False), (1, True), (65535, True), (65536, False), (-1, False)])
def test_port_numbers(number: int, fine: bool) -> None:
    assert names.is_port_number(number) == ([] if fine else ["must be between 1 and 65535, inclusive"])


@pytest.mark.parametrize("rule", [names.is_user_id, names.is_group_id])
def test_users_and_groups(rule: NameRule) -> None:
    assert [rule(each) for each in (0, 1000, 2**31 - 1)] == [[], [], []]
    assert rule(-1) == rule(2**31) == ["must be between 0 and 2147483647, inclusive"]


@pytest.mark.parametrize("text", ["a" * 300_000 + "!", "-" * 300_000, "a." * 150_000 + "!", "a-" * 150_000])
def test_long_texts_are_no_work(text: str) -> None:
    """With an expression that can match in two ways this would take hours; the suite's time limit tells."""
    for rule, _ in GOOD:
        assert rule(text) or rule in (names.is_env_var_name, names.is_http_header_name)  # no limit, as in Kubernetes


def test_what_is_remembered_of_good_texts_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "REMEMBERED_MAX", 2)
    asked: list[str] = []

    def rule(text: str) -> list[str]:
        asked.append(text)
        return [] if text.islower() else ["must be lower case"]

    check = names._remembering(rule)
    for text in ("a", "a", "b", "c", "a"):
        assert check(text) == []
    assert asked == ["a", "b", "c", "a"]
    assert check("A") == check("A") == ["must be lower case"]
    assert asked[-2:] == ["A", "A"]
    long = "x" * (names.REMEMBERED_CHARACTERS_MAX + 1)
    assert check(long) == check(long) == []
    assert asked[-2:] == [long, long]
