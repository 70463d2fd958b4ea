"""Lets packets of pods through where rules of the machine drop whatever is passed on, as Docker and ufw have it.

A drop of anybody's is final, so an accept in a table of ours would not help: it must stand in the chain that drops. We
add two rules with our name on them, only where that chain drops by default, and take no rule of others away.
"""

from __future__ import annotations

import logging
import shlex

from .programs import ProgramFailed, run_program
from .rules import table_name

log = logging.getLogger(__name__)

_CHAIN = "FORWARD"
_IPTABLES = ("iptables", "-w", "5")
_WITHIN_S = 20.0
_ANSWER_MAX = 4 << 20


async def let_pods_through(node: str, cluster_cidr: str) -> str:
    """What is wrong; "" when nothing drops them, or no longer."""
    try:
        listed = await _listed()
    except ProgramFailed as error:  # who has no iptables has no such rules
        log.debug("rules for what is passed on are unknown", extra={"reason": str(error)})
        return ""
    if f"-P {_CHAIN} DROP" not in listed:
        return ""
    ours = [line for line in listed if _is_ours(line, node)]
    try:
        for side in ("-s", "-d"):
            if not any(f" {side} {cluster_cidr} " in line for line in ours):
                what = (side, cluster_cidr, "-m", "comment", "--comment", table_name(node), "-j", "ACCEPT")
                await _iptables("-I", _CHAIN, *what)
                log.info("packets of pods are let through", extra={"node": node, "rule": " ".join(what)})
    except ProgramFailed as error:
        return f"this machine drops packets that it passes on, those of pods too: {error}"
    return ""


async def remove_rules(node: str) -> None:
    """Ours. Raises ProgramFailed."""
    try:
        listed = await _listed()
    except ProgramFailed:
        return  # as above
    for line in listed:
        if _is_ours(line, node):
            await _iptables("-D", *shlex.split(line)[1:])


async def _listed() -> list[str]:
    """The chain's rules, each as a command that would add it."""
    return (await _iptables("-S", _CHAIN)).decode(errors="replace").splitlines()


def _is_ours(line: str, node: str) -> bool:
    try:
        words = shlex.split(line)
    except ValueError:
        return False  # somebody's comment is of two lines
    return words[:2] == ["-A", _CHAIN] and table_name(node) in words


async def _iptables(*arguments: str) -> bytes:
    return await run_program((*_IPTABLES, *arguments), timeout_s=_WITHIN_S, answer_max=_ANSWER_MAX)
