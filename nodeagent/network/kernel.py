"""The node's packet rules, connection table, links and routes, as we change them: by nft, and by netlink in a child.

`prefix` is put before each command: how to get into the node's network namespace, when that is another than ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from .flows import Wanted
from .links import Orders, Report
from .programs import ProgramFailed, run_program
from .rules import FAMILY, Json, Present, present_of, removal, table_name

#: Not from the folder that the agent was started in: whoever may write there must not become root.
_PYTHON = (sys.executable, "-P", "-m")
_LINKS = (*_PYTHON, "nodeagent.network.kernel_links")
_TIMEOUT_S = 60.0
_ANSWER_MAX = 64 << 20


class Kernel:
    """Raises ProgramFailed."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self._prefix = tuple(prefix)

    async def present(self, table: str) -> Present | None:
        """None when there is no such table."""
        tables = _decode(await self._nft("-j", "list", "tables"))
        names = [each.get("table", {}).get("name") for each in tables.get("nftables", [])]
        if table not in names:
            return None
        try:
            return present_of(_decode(await self._nft("-j", "-t", "list", "table", FAMILY, table)))
        except ValueError as error:
            raise ProgramFailed(str(error)) from error

    async def apply(self, transaction: bytes) -> None:
        """JSON for nft; all of it or nothing."""
        await self._nft("-j", "-f", "-", given=transaction)

    async def forget_flows(self, wanted: Wanted) -> None:
        """UDP has no end of a connection: flows to endpoints that left go here."""
        await self._run((*_PYTHON, "nodeagent.network.flows"), msgspec.json.encode(wanted))

    async def arrange(self, orders: Orders) -> Report:
        """Links, addresses and routes."""
        return self._report(await self._run(_LINKS, msgspec.json.encode(orders)))

    async def remove_links(self) -> Report:
        """All of ours, and the bridge of the pods."""
        return self._report(await self._run((*_LINKS, "remove"), b""))

    async def remove(self, node: str) -> None:
        """The node's table; no error when there is none."""
        await self.apply(msgspec.json.encode(removal(table_name(node))))

    @staticmethod
    def _report(answer: bytes) -> Report:
        try:
            return msgspec.json.decode(answer, type=Report)
        except msgspec.DecodeError as error:
            raise ProgramFailed(f"the program for links answered what is no report: {error}") from error

    async def _nft(self, *arguments: str, given: bytes = b"") -> bytes:
        return await self._run(("nft", *arguments), given)

    async def _run(self, command: tuple[str, ...], given: bytes) -> bytes:
        return await run_program((*self._prefix, *command), given=given, timeout_s=_TIMEOUT_S, answer_max=_ANSWER_MAX)


def _decode(answer: bytes) -> Json:
    try:
        return msgspec.json.decode(answer, type=Json)
    except msgspec.DecodeError as error:
        raise ProgramFailed("nft answered what is no JSON object") from error
