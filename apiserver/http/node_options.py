"""What a client asks of logs, exec, attach and port-forward, checked, and as an agent wants to hear it.

Parameters come in the names of Kubernetes' options (PodLogOptions, PodExecOptions, ...) and go out in those of the
kubelet's API. Rules and words are Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

import msgspec

from apiserver.api.errors import BadRequest
from apiserver.api.fields import Causes
from apiserver.api.times import is_time

_INT64 = range(-(1 << 63), 1 << 63)
PORTS_MAX = 64

Parameters = Sequence[tuple[str, str]]


class ConnectOptions(msgspec.Struct, kw_only=True):
    """What admission sees of a connection: the fields of the options the client gave. `kind` names them."""

    kind: str
    container: str = ""
    command: list[str] = []
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False
    ports: list[int] = []
    path: str = ""


def parameters_of(query: str) -> Parameters:
    """Every parameter, in order. Raises BadRequest."""
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=1024)
    except (UnicodeDecodeError, ValueError):
        raise BadRequest("the query cannot be read") from None


def first(parameters: Parameters, name: str) -> str:
    return next((value for key, value in parameters if key == name), "")


def boolean(parameters: Parameters, name: str) -> bool:
    """As Kubernetes reads options: there and not false."""
    value = next((value for key, value in parameters if key == name), "false")
    return value.lower() not in ("false", "0")


def log_query(parameters: Parameters, pod: str) -> str:
    """The agent's query for logs. Raises BadRequest for what is no number, Invalid for what breaks a rule."""
    since = _number(parameters, "sinceSeconds")
    tail = _number(parameters, "tailLines")
    limit = _number(parameters, "limitBytes")
    since_time = first(parameters, "sinceTime")
    if since_time and is_time(since_time):
        raise BadRequest(f"sinceTime: {since_time[:64]!r} is not a time in RFC 3339's form")
    causes = Causes()
    if tail is not None and tail < 0:
        causes.invalid("tailLines", tail, "must be greater than or equal to 0")
    if limit is not None and limit < 1:
        causes.invalid("limitBytes", limit, "must be greater than 0")
    if since is not None and since_time:
        causes.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    elif since is not None and since < 1:
        causes.invalid("sinceSeconds", since, "must be greater than 0")
    if causes:
        raise causes.error(kind="PodLogOptions", group="", name=pod)
    asked = [(name, "true") for name in ("follow", "previous", "timestamps") if boolean(parameters, name)]
    asked += [("sinceTime", since_time)] if since_time else []
    numbers = (("sinceSeconds", since), ("tailLines", tail), ("limitBytes", limit))
    asked += [(name, str(number)) for name, number in numbers if number is not None]
    return urlencode(asked)


def stream_options(parameters: Parameters, kind: str) -> ConnectOptions:
    """Of exec and attach."""
    return ConnectOptions(
        kind=kind,
        container=first(parameters, "container"),
        command=[value for key, value in parameters if key == "command"],
        stdin=boolean(parameters, "stdin"),
        stdout=boolean(parameters, "stdout"),
        stderr=boolean(parameters, "stderr"),
        tty=boolean(parameters, "tty"),
    )


def stream_query(options: ConnectOptions) -> str:
    """The agent's query for exec and attach."""
    wanted = (("input", options.stdin), ("output", options.stdout), ("error", options.stderr), ("tty", options.tty))
    asked = [(name, "1") for name, is_wanted in wanted if is_wanted]
    return urlencode([*asked, *(("command", each) for each in options.command)])


def port_options(parameters: Parameters) -> ConnectOptions:
    """Of port-forward. Raises BadRequest."""
    texts = [each for key, value in parameters if key == "ports" for each in value.split(",")]
    if len(texts) > PORTS_MAX:
        raise BadRequest(f"ports: at most {PORTS_MAX} may be given")
    ports = [port_number(text) for text in texts]
    if None in ports:
        raise BadRequest("ports: each must be a number between 1 and 65535")
    return ConnectOptions(kind="PodPortForwardOptions", ports=[port for port in ports if port is not None])


def port_query(options: ConnectOptions) -> str:
    return urlencode([("port", str(port)) for port in options.ports])


def port_number(text: str) -> int | None:
    """The port a text names, None when it names none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    return number if 1 <= number <= 65535 else None


def _number(parameters: Parameters, name: str) -> int | None:
    """None: not given. Raises BadRequest."""
    text = first(parameters, name)
    if not text:
        return None
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19) or int(text) not in _INT64:
        raise BadRequest(f'{name}: parsing "{text[:32]}": invalid syntax')
    return int(text)
