"""All that this node's network made in the kernel goes: packet rules, links and routes of ours, the bridge of the pods
with their ends of it.

For a node whose pods are gone already (nodeagent.runtime.teardown): the network's plug-ins gave back what they took.
Settings of the kernel stay, for others may have come to need them, and so do chains of the plug-in for host ports,
which belong to whoever uses it.
"""

from __future__ import annotations

import logging

from .firewall import remove_rules
from .kernel import Kernel
from .programs import ProgramFailed

log = logging.getLogger(__name__)


async def remove_network(node: str, *, kernel: Kernel | None = None) -> None:
    """In the network namespace of this process. No error where there is nothing; what cannot be removed is told, and
    the rest goes all the same. Raises ProgramFailed at last, with the first of what went wrong."""
    kernel = kernel or Kernel()
    problems: list[str] = []
    for remove in (kernel.remove, remove_rules):
        try:
            await remove(node)
        except ProgramFailed as error:
            problems.append(str(error))
    try:
        report = await kernel.remove_links()
        problems += report.failed
        if report.done:
            log.info("links and routes were removed", extra={"node": node, "changes": report.done})
    except ProgramFailed as error:
        problems.append(str(error))
    if problems:
        raise ProgramFailed("; ".join(problems))
