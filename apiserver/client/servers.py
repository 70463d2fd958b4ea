"""Which server to talk to: one while it works, the next when it does not, and all that are known over a restart.

Configured servers are never forgotten; learned ones are kept in a file, so that a client finds a cluster again whose
configured server is gone for good. A server that failed is left alone for a while that doubles, unless all have.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import msgspec

from .retry import Backoff

log = logging.getLogger(__name__)

LEARNED_MAX = 16
_FILE_BYTES_MAX = 64 << 10
_PENALTY = Backoff(first_s=0.5, longest_s=30.0)


class _File(msgspec.Struct):
    servers: list[str]


class _Standing:
    __slots__ = ("failures", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0


class Servers:
    """Base addresses such as `https://10.0.0.1:6443`, in order of preference.

    `clock` is monotonic. `file` may lie in a folder that is not there yet; one that cannot be read or written costs
    a warning, never a request.
    """

    def __init__(
        self,
        configured: Iterable[str],
        *,
        clock: Callable[[], float],
        random: Random,
        file: Path | None = None,
    ) -> None:
        self._configured = list(dict.fromkeys(base_address(each) for each in configured))
        if not self._configured:
            raise ValueError("no server is named")
        self._clock = clock
        self._random = random
        self._file = file
        self._learned = self._load()
        self._standing: dict[str, _Standing] = {}
        self._current = self.all[0]

    @property
    def all(self) -> list[str]:
        return list(dict.fromkeys([*self._configured, *self._learned]))

    @property
    def current(self) -> str:
        return self._current

    def pick(self) -> str:
        """The current one, unless it failed and another has not; the one to be forgiven first when all have."""
        now = self._clock()
        known = self.all
        start = known.index(self._current) if self._current in known else 0
        ordered = known[start:] + known[:start]
        fit = next((each for each in ordered if self._until(each) <= now), None)
        self._current = fit or min(ordered, key=self._until)
        return self._current

    def failed(self, server: str) -> None:
        standing = self._standing.setdefault(server, _Standing())
        standing.until = self._clock() + _PENALTY.wait_s(standing.failures, self._random)
        standing.failures += 1

    def works(self, server: str) -> None:
        self._standing.pop(server, None)

    def _until(self, server: str) -> float:
        standing = self._standing.get(server)
        return standing.until if standing else 0.0

    # --- learned ones ---------------------------------------------------------------------------------

    def learn(self, servers: Iterable[str]) -> bool:
        """The cluster's own word for who serves now; replaces what was learned before. True when that is news, which
        `save` keeps."""
        found = sorted({base_address(each) for each in servers})[:LEARNED_MAX]
        if not found or found == self._learned:
            return False
        self._learned = found
        self._standing = {server: each for server, each in self._standing.items() if server in self.all}
        return True

    def _load(self) -> list[str]:
        if self._file is None:
            return []
        try:
            with self._file.open("rb") as file:
                found = msgspec.json.decode(file.read(_FILE_BYTES_MAX), type=_File).servers
            return [base_address(each) for each in found[:LEARNED_MAX]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, msgspec.DecodeError) as error:
            log.warning("servers learned before cannot be read", extra={"file": str(self._file), "error": str(error)})
            return []

    def save(self) -> None:
        """Whole or not at all: a half-written file would lose the way to the cluster. Blocking."""
        if self._file is None:
            return
        part = self._file.with_name(self._file.name + ".part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(msgspec.json.encode(_File(self._learned)))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._file)
        except OSError as error:
            log.warning("learned servers cannot be kept", extra={"file": str(self._file), "error": str(error)})


def base_address(text: str) -> str:
    """`https://host:port[/path]` without a slash at the end. Raises ValueError naming what is wrong."""
    parts = urlsplit(text.strip())
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("https", "http") or not parts.hostname or port == -1:
        raise ValueError(f"{text!r} is no address of a server: https://HOST[:PORT] is needed")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{text!r} is no address of a server: only scheme, host, port and path may be given")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
