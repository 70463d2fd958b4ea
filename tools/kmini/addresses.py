"""Names, addresses and durations as flags give them; each refusal names the rule.

Imports nothing of the store: `kmini -h` and `kmini version` must not pay for it.
"""

from __future__ import annotations

import ipaddress
import re
import socket

import click

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
MEMBERS_MAX = 9  # more voters only slow writes down; etcd says 7


def check_name(value: str) -> str:
    """A replica's name: a DNS label. Raises ValueError."""
    if not NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name: lower-case letters, digits and dashes, at most 63")
    return value


def check_address(value: str) -> str:
    """An IP address. Raises ValueError."""
    return str(ipaddress.ip_address(value))


def split_host_port(value: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`. Raises ValueError."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{value!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_cluster(value: str) -> dict[str, str]:
    """`n1=ip:port,n2=ip:port` as name → address. Raises ValueError."""
    members: dict[str, str] = {}
    for part in value.split(","):
        name, equals, address = part.strip().partition("=")
        if not equals:
            raise ValueError(f"{part!r} is not name=host:port")
        if check_name(name) in members:
            raise ValueError(f"{name!r} is there twice")
        members[name] = join_host_port(*split_host_port(address))
    if len(set(members.values())) != len(members):
        raise ValueError("two members have one address")
    if len(members) > MEMBERS_MAX:
        raise ValueError(f"{len(members)} members, at most {MEMBERS_MAX}")
    return members


def parse_duration(value: str) -> float:
    """`12h`, `1h30m`, `45s` or `0` in seconds. Raises ValueError."""
    if value == "0":
        return 0.0
    match = _DURATION.fullmatch(value)
    if not match or not value:
        raise ValueError(f"{value!r} is not a duration such as 12h, 1h30m or 45s")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def is_unspecified(address: str) -> bool:
    return ipaddress.ip_address(address).is_unspecified


def own_address() -> str:
    """The address this machine would be reached at: the one its default route leaves from, else loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address; connecting a UDP socket sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


class Name(click.ParamType[str]):
    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_name(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Address(click.ParamType[str]):
    name = "ip"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Cluster(click.ParamType[dict[str, str]]):
    name = "n1=ip:port,..."

    def convert(
        self, value: str | dict[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        try:
            return value if isinstance(value, dict) else parse_cluster(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(str(value)) if isinstance(value, str | int) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


PORT = click.IntRange(1, (1 << 16) - 1)
PORT_OR_OFF = click.IntRange(0, (1 << 16) - 1)
