"""`kmini down`: agent, pods, containerd, server, in this order, and nothing of them is left; what is in the API stays.

The agent goes first, for it would start again whatever ends. Its containers are those that its record in `DIR/run`
tells of, whether it ended just now, was killed long ago, or before the machine was started anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import msgspec

from nodeagent.errors import AgentError
from nodeagent.machine import system_info
from nodeagent.network.programs import ProgramFailed
from nodeagent.network.teardown import remove_network
from nodeagent.runtime.teardown import force, tear_down

from ..agent_runtime import RuntimeSettings, make_containerd, make_runtime
from ..errors import CommandError
from ..layout import Layout, RunningAgent, is_trusted, owned_agent
from ..supervise import stop

CONTAINERS_END_WITHIN_S = 10.0

Say = Callable[[str], None]


def bring_down(layout: Layout, *, say: Say, warn: Say) -> None:
    """Idempotent. Raises CommandError."""
    ended = False
    pid = stop(layout.running_agent, warn=warn)
    if pid:
        say(f"stopped the node's agent (process {pid})")
        ended = True
    last = layout.last_agent()
    if last is not None and last.private and not last.torn_down:
        remove_node(layout, last, warn=warn)
        say(f"removed what node {last.node} ran")
        ended = True
    pid = stop(layout.running, warn=warn)
    if pid:
        say(f"stopped the server (process {pid})")
        ended = True
    if not ended:
        say(f"nothing runs in {layout.data_dir}")


def remove_node(layout: Layout, last: RunningAgent, *, warn: Say) -> None:
    """Everything that the node's containers are made of. Raises CommandError."""
    if os.geteuid() != 0:
        raise CommandError(f"node {last.node} has containers, which only root can end: run this as root")
    if not is_trusted(layout.agent_file.stat().st_uid):  # root's by all rights: it names what is ended by force
        raise CommandError(f"{layout.agent_file} belongs to another user: nothing that it tells of is ended")
    with owned_agent(layout) as file:
        try:
            if last.boot_id == system_info().boot_id:
                asyncio.run(_tear_down(layout, last, warn=warn))
            else:
                force(group=last.group, folder=layout.agent)
        except (OSError, AgentError, ProgramFailed) as error:
            raise CommandError(f"not all of node {last.node} could be removed: {error}") from error
        file.announce(msgspec.structs.replace(last, torn_down=True, ready=False))


async def _tear_down(layout: Layout, last: RunningAgent, *, warn: Say) -> None:
    settings = RuntimeSettings(node=last.node, folder=layout.agent, images=layout.images, socket=None, group=last.group)
    runtime = make_runtime(settings)
    try:
        containerd = make_containerd(settings, runtime)
        await tear_down(
            runtime, containerd, group=last.group, folder=layout.agent, grace_period_s=CONTAINERS_END_WITHIN_S
        )
    except AgentError as error:  # its programs are gone
        warn(f"pods are ended by force: {error}")
        await asyncio.to_thread(force, group=last.group, folder=layout.agent)
    finally:
        await runtime.close()
    await remove_network(last.node)
