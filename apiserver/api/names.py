"""What names, labels, keys and addresses must look like: Kubernetes' rules, in Kubernetes' words.

Each rule takes a text and returns what is wrong with it, as sentences for a cause's detail; an empty list means fine.
The rules are those of k8s.io/apimachinery/pkg/util/validation, with the messages of 1.33. Every expression here takes
time linear in the text: a label cannot be matched in two ways.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import wraps

#: `rule(text)`, or `rule(text, prefix=True)` for a generateName, which may end in what a name may not end in.
NameRule = Callable[..., list[str]]

LABEL_CHARACTERS_MAX = 63
REMEMBERED_MAX = 4_096
REMEMBERED_CHARACTERS_MAX = 128
SUBDOMAIN_CHARACTERS_MAX = 253
QUALIFIED_NAME_CHARACTERS_MAX = 63
PORT_NAME_CHARACTERS_MAX = 15
CONFIG_MAP_KEY_CHARACTERS_MAX = 253
USER_ID_MAX = 2**31 - 1

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = r"\*\." + _SUBDOMAIN
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PERCENT = "[0-9]+%"
_HEADER = "[-A-Za-z0-9]+"

_label_re = re.compile(_LABEL)
_subdomain_re = re.compile(_SUBDOMAIN)
_label_1035_re = re.compile(_LABEL_1035)
_wildcard_re = re.compile(_WILDCARD)
_qualified_re = re.compile(_QUALIFIED)
_identifier_re = re.compile(_IDENTIFIER)
_config_key_re = re.compile(_CONFIG_KEY)
_percent_re = re.compile(_PERCENT)
_header_re = re.compile(_HEADER)
_port_name_re = re.compile("[-a-z0-9]+")
_letter_re = re.compile("[a-z]")
_env_var_re = re.compile(r"[ -<>-~]+")  # printable ASCII but "="
_digits_re = re.compile("[0-9]{1,3}")

EMPTY = "must be non-empty"


def too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def not_in_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def _pattern(rule: str, expression: str, *examples: str) -> str:
    """The rule, examples and the expression. The odd spaces and commas are Kubernetes' own: tools compare the text."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{expression}')"


_LABEL_RULE = _pattern(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_RULE = _pattern(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_1035_RULE = _pattern(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_WILDCARD_RULE = _pattern(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
)
_QUALIFIED_RULE = _pattern(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
_LABEL_VALUE_RULE = _pattern(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    _LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_IDENTIFIER_RULE = _pattern(
    "a valid C identifier must start with alphabetic character or '_', "
    "followed by a string of alphanumeric characters or '_'",
    _IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)
_CONFIG_KEY_RULE = _pattern(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_PERCENT_RULE = _pattern(
    "a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%"
)
_HEADER_RULE = _pattern("a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name")
_ENV_VAR_RULE = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def _masked(text: str, prefix: bool) -> str:
    """A generateName may end in a dash: what is appended to it makes it a name."""
    return text[:-1] + "a" if prefix and len(text) > 1 and text.endswith("-") else text


def _bounded(text: str, expression: re.Pattern[str], limit: int, rule: str) -> list[str]:
    found = [too_long(limit)] if len(text) > limit else []
    return found if expression.fullmatch(text) else [*found, rule]


def is_dns_subdomain(text: str, *, prefix: bool = False) -> list[str]:
    """RFC 1123 subdomain of at most 253 characters: names of most kinds."""
    return _bounded(_masked(text, prefix), _subdomain_re, SUBDOMAIN_CHARACTERS_MAX, _SUBDOMAIN_RULE)


def is_dns_label(text: str, *, prefix: bool = False) -> list[str]:
    """RFC 1123 label of at most 63 characters: namespaces, containers, volumes."""
    text = _masked(text, prefix)
    if _label_re.fullmatch(text):
        return [too_long(LABEL_CHARACTERS_MAX)] if len(text) > LABEL_CHARACTERS_MAX else []
    rule = "must not contain dots" if _subdomain_re.fullmatch(text) else _LABEL_RULE
    return [too_long(LABEL_CHARACTERS_MAX), rule] if len(text) > LABEL_CHARACTERS_MAX else [rule]


def is_dns1035_label(text: str, *, prefix: bool = False) -> list[str]:
    """RFC 1035 label: as `is_dns_label`, but a letter comes first. Names of Services."""
    return _bounded(_masked(text, prefix), _label_1035_re, LABEL_CHARACTERS_MAX, _LABEL_1035_RULE)


def is_wildcard_dns_subdomain(text: str) -> list[str]:
    """`*.` and a subdomain: hosts of certificates and ingresses."""
    return _bounded(text, _wildcard_re, SUBDOMAIN_CHARACTERS_MAX, _WILDCARD_RULE)


def _remembering(rule: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Texts that kept the rule, remembered within bounds: labels and the like say the same thing again and again."""
    good: set[str] = set()

    @wraps(rule)
    def check(text: str) -> list[str]:
        if text in good:
            return []
        found = rule(text)
        if not found and len(text) <= REMEMBERED_CHARACTERS_MAX:
            if len(good) >= REMEMBERED_MAX:
                good.clear()
            good.add(text)
        return found

    return check


@_remembering
def is_qualified_name(text: str) -> list[str]:
    """`name` or `prefix/name`: keys of labels, annotations, resources, taints."""
    head, *rest = text.split("/", 2)
    if len(rest) > 1:
        return [
            f"a qualified name {_QUALIFIED_RULE} with an optional DNS subdomain prefix and '/'"
            " (e.g. 'example.com/MyName')"
        ]
    found: list[str] = []
    name = rest[0] if rest else head
    if rest:
        found = [f"prefix part {each}" for each in (is_dns_subdomain(head) if head else [EMPTY])]
    if not name:
        found.append(f"name part {EMPTY}")
    elif len(name) > QUALIFIED_NAME_CHARACTERS_MAX:
        found.append(f"name part {too_long(QUALIFIED_NAME_CHARACTERS_MAX)}")
    return found if _qualified_re.fullmatch(name) else [*found, f"name part {_QUALIFIED_RULE}"]


@_remembering
def is_label_value(text: str) -> list[str]:
    """Empty, or at most 63 characters that begin and end with a letter or digit."""
    found = [too_long(LABEL_CHARACTERS_MAX)] if len(text) > LABEL_CHARACTERS_MAX else []
    return found if not text or _qualified_re.fullmatch(text) else [*found, _LABEL_VALUE_RULE]


def is_path_segment_name(text: str, *, prefix: bool = False) -> list[str]:
    """Any text that can stand between two slashes of a path: names of the rbac kinds.

    Kubernetes has no limit here; ours is that of other names, in bytes, because every key of the store has one.
    """
    if not prefix and text in (".", ".."):
        return [f"may not be '{text}'"]
    found = [f"may not contain '{each}'" for each in "/%" if each in text]
    long = len(text.encode(errors="surrogatepass")) > SUBDOMAIN_CHARACTERS_MAX
    return [*found, too_long(SUBDOMAIN_CHARACTERS_MAX)] if long else found


def is_c_identifier(text: str) -> list[str]:
    """A letter or `_`, then letters, digits and `_`."""
    return [] if _identifier_re.fullmatch(text) else [_IDENTIFIER_RULE]


def is_env_var_name(text: str) -> list[str]:
    """Printable ASCII without `=` (the relaxed rule, which is the default since 1.32)."""
    found = [] if text else [f"environment variable name {EMPTY}"]
    return found if not text or _env_var_re.fullmatch(text) else [*found, _ENV_VAR_RULE]


def is_config_map_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret: it becomes the name of a file, so it must not lead out of its folder."""
    return [
        *_bounded(text, _config_key_re, CONFIG_MAP_KEY_CHARACTERS_MAX, _CONFIG_KEY_RULE),
        *_leads_out(text),
    ]


def _leads_out(text: str) -> list[str]:
    if text in (".", ".."):
        return [f"must not be '{text}'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def is_port_name(text: str) -> list[str]:
    """IANA service name: at most 15 of a-z, 0-9 and single dashes, a letter among them."""
    found = []
    if len(text) > PORT_NAME_CHARACTERS_MAX:
        found.append(too_long(PORT_NAME_CHARACTERS_MAX))
    if not _port_name_re.fullmatch(text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _letter_re.search(text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def is_port_number(port: int) -> list[str]:
    """1 to 65535."""
    return [] if 1 <= port <= 65535 else [not_in_range(1, 65535)]


def is_user_id(number: int) -> list[str]:
    """A uid a container may run as: 0 to 2^31 - 1."""
    return [] if 0 <= number <= USER_ID_MAX else [not_in_range(0, USER_ID_MAX)]


def is_group_id(number: int) -> list[str]:
    """A gid a container may run as: 0 to 2^31 - 1."""
    return is_user_id(number)


def is_percent(text: str) -> list[str]:
    """`25%`."""
    return [] if _percent_re.fullmatch(text) else [_PERCENT_RULE]


def is_http_header_name(text: str) -> list[str]:
    """Letters, digits and dashes."""
    return [] if _header_re.fullmatch(text) else [_HEADER_RULE]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None when it is no address. Zones (`fe80::1%eth0`) and leading zeros are refused."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_ip(text: str) -> list[str]:
    """An IPv4 or IPv6 address."""
    return [] if _address(text) else ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def is_ipv4(text: str) -> list[str]:
    """An IPv4 address."""
    return [] if isinstance(_address(text), ipaddress.IPv4Address) else ["must be a valid IPv4 address"]


def is_ipv6(text: str) -> list[str]:
    """An IPv6 address."""
    return [] if isinstance(_address(text), ipaddress.IPv6Address) else ["must be a valid IPv6 address"]


def is_cidr(text: str) -> list[str]:
    """An address, a slash and the length of the prefix; bits beyond the prefix may be set, as in Kubernetes."""
    network, _, length = text.partition("/")
    address = _address(network)
    if address and _digits_re.fullmatch(length) and int(length) <= address.max_prefixlen:
        return []
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
