"""One command's way to one cluster: its options, whom it asks as, and where its words go.

Made when a verb runs; the client inside opens when it is first needed.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..output.printable import printable

if TYPE_CHECKING:
    from apiserver.client import Access

    from .api import Api
    from .discovery import Catalogue

TRIES_MAX = 4


class Options(msgspec.Struct):
    """What every verb takes. Empty means: as the kubeconfig says."""

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    user: str = ""
    namespace: str = ""
    server: str = ""
    token: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    insecure: bool = False
    request_timeout: str = "0"


class Session:
    """`namespace` is the one asked for, else the context's."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.access = access_of(options)
        self.namespace = options.namespace or self.access.namespace
        self.api: Api
        self._catalogue: Catalogue | None = None

    async def catalogue(self) -> Catalogue:
        """The server's resources; asked for once."""
        if self._catalogue is None:
            from .discovery import discover

            self._catalogue = await discover(self.api)
        return self._catalogue

    @property
    def server(self) -> str:
        return self.access.servers[0]

    @property
    def timeout_s(self) -> float:
        """Of one request; 0 is none asked for. Raises CommandError."""
        from ..failures import CommandError
        from ..output.ages import duration_s

        try:
            return duration_s(self.options.request_timeout)
        except ValueError:
            raise CommandError(
                "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a "
                "corresponding time unit (e.g. 1s | 2m | 3h)"
            ) from None

    def say(self, text: str) -> None:
        """A line of the answer."""
        sys.stdout.write(f"{text}\n")

    def flush(self) -> None:
        sys.stdout.flush()

    def tell(self, text: str) -> None:
        """A line beside the answer: on standard error, after what was said so far."""
        self._beside(printable(text))

    def warn(self, text: str) -> None:
        begin = "\x1b[33;1mWarning:\x1b[0m" if sys.stderr.isatty() else "Warning:"
        self._beside(f"{begin} {printable(text)}")

    @staticmethod
    def _beside(text: str) -> None:
        sys.stdout.flush()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Session]:
    """Raises CommandError when the configuration is no good."""
    import time

    from apiserver.client import CallOptions, Client
    from apiserver.client.access import Credentials

    from .api import Api
    from .transport import LeanTransport

    session = Session(options)
    limit_s = session.timeout_s
    calls = CallOptions(tries_max=TRIES_MAX)
    if limit_s > 0:
        calls = msgspec.structs.replace(calls, timeout_s=limit_s, try_timeout_s=limit_s)
    transport = LeanTransport(Credentials(session.access, clock=time.monotonic), user_agent="kminictl")
    async with Client(session.access, learn=False, options=calls, transport=transport) as client:
        session.api = Api(client, session.warn)
        yield session


def access_of(options: Options) -> Access:
    """The kubeconfig's, and what options replace in it. Raises CommandError."""
    from apiserver.client import kubeconfig

    from ..failures import CommandError

    config = kubeconfig.KubeConfig()
    try:
        for path in kubeconfig.find_files(options.kubeconfig or None):
            config.add(path)
        access = config.access(options.context, user=options.user, cluster=options.cluster)
    except OSError as error:
        told = f"stat {error.filename}: {(error.strerror or '').lower()}" if error.filename else str(error)
        raise CommandError(told) from None
    except ValueError as error:
        raise CommandError(str(error)) from None
    return _overridden(access, options)


def _overridden(access: Access, options: Options) -> Access:
    from apiserver.client import Material
    from apiserver.client.access import NOTHING

    found: dict[str, object] = {}
    if options.server:
        found["servers"] = (options.server if "://" in options.server else f"http://{options.server}",)
    if options.token:
        found |= {"token": Material(data=options.token.encode()), "certificate": NOTHING, "key": NOTHING}
    if options.as_user or options.as_groups:
        found |= {"as_user": options.as_user, "as_groups": options.as_groups}
    for name, field in (
        (options.certificate_authority, "authority"),
        (options.client_certificate, "certificate"),
        (options.client_key, "key"),
    ):
        if name:
            found[field] = Material(file=Path(name))
    if options.tls_server_name:
        found["server_name"] = options.tls_server_name
    if options.insecure:
        found["insecure"] = True
    return msgspec.structs.replace(access, **found)
