"""Whom a probe or a hook asks, and for what: worked out from the container's spec and the pod's address. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlsplit

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.probes import HTTPGetAction

PORT_MAX = 65_535
USER_AGENT = "kube-probe/1.33"  # what people's servers and logs know
#: What stays as it is in a path that somebody wrote: an escaped byte is not escaped again.
_KEPT = "/?%:@!$&'()*+,;=-._~[]"


class BadAction(ValueError):
    """It cannot be asked: the message says why."""


class HttpWish(msgspec.Struct, frozen=True, kw_only=True):
    """One GET. `target` is path and query as they are sent, `headers` everything that is sent but Connection."""

    secure: bool
    host: str
    port: int
    target: str
    headers: Sequence[tuple[str, str]] = ()

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{place(self.host, self.port)}{self.target}"


def place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_of(port: int | str, spec: ContainerSpec) -> int:
    """By number, or by the name of one of the container's ports. Raises BadAction."""
    number = port
    if isinstance(port, str):
        named = next((each.container_port for each in spec.ports if each.name == port), None)
        if named is not None:
            number = named
        elif port.isascii() and port.isdigit():
            number = int(port)
        else:
            raise BadAction(f"couldn't find port: {port} in container {spec.name}")
    if not isinstance(number, int) or not 0 < number <= PORT_MAX:
        raise BadAction(f"invalid port number: {number}")
    return number


def http_wish(action: HTTPGetAction, spec: ContainerSpec, address: str) -> HttpWish:
    """Raises BadAction."""
    host, port = action.host or address, port_of(action.port, spec)
    if not host:
        raise BadAction("the pod has no address")
    given = {each.name.lower() for each in action.http_headers}
    headers = [(each.name, each.value) for each in action.http_headers]
    for name, value in (("Host", place(host, port)), ("User-Agent", USER_AGENT), ("Accept", "*/*")):
        if name.lower() not in given:
            headers.append((name, value))
    for name, value in headers:
        if not name or any(each in name + value for each in "\r\n\0"):
            raise BadAction(f"header {name!r} cannot be sent")
    secure = action.scheme.upper() == "HTTPS"
    return HttpWish(secure=secure, host=host, port=port, target=_target(action.path), headers=headers)


def _target(path: str) -> str:
    """As a server wants it: it begins with a slash and has neither a fragment nor anything that is not ASCII."""
    path = quote(path.partition("#")[0], safe=_KEPT)
    return path if path.startswith("/") else f"/{path}"


def redirected(wish: HttpWish, location: str) -> HttpWish | None:
    """Where a redirect leads; None when it leads to another host, where nobody is to be sent by a pod."""
    try:
        parts = urlsplit(location)
        port = parts.port
    except ValueError:
        return None
    if parts.netloc:
        if (parts.hostname or "") != wish.host.lower() or parts.scheme not in ("", "http", "https"):
            return None
        secure = parts.scheme == "https" if parts.scheme else wish.secure
        port = port or (443 if secure else 80)
    elif parts.scheme:
        return None
    else:
        secure, port = wish.secure, wish.port
    path = parts.path or "/"
    if not path.startswith("/"):
        path = wish.target.partition("?")[0].rpartition("/")[0] + "/" + path
    target = _target(f"{path}?{parts.query}" if parts.query else path)
    headers = [
        (name, place(wish.host, port) if name.lower() == "host" and parts.netloc else value)
        for name, value in wish.headers
    ]
    return HttpWish(secure=secure, host=wish.host, port=port, target=target, headers=headers)
