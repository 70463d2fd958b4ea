"""What runs when a container has started and before it is stopped: commands, requests, a pause.

A postStart hook has as much time as it takes: who does not want to wait deletes the pod. A preStop hook shares the
grace period with the signal that follows it, and runs once for a container: who was interrupted in it, since the time
was made shorter or the pod is to go meanwhile, goes on with the signal. Any answer to a request will do, as with the
kubelet.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.pod import Pod
from apiserver.api.core.probes import ExecAction, HTTPGetAction, LifecycleHandler

from .house import WARNING, EventSink
from .probes.actions import BadAction, http_wish
from .probes.checks import OUTPUT_BYTES_MAX, Asked, Executor
from .probes.http import BadAnswer, get
from .runtime.interface import Container, RuntimeFailure, TookTooLong

POST_START_WITHIN_S = 86_400.0
BEGUN_MAX = 4096


class HookFailed(Exception):
    """With what people are told."""


class LifecycleHooks:
    """The Hooks of a node with containers."""

    def __init__(self, executor: Executor, events: EventSink) -> None:
        self._executor = executor
        self._events = events
        self._begun: OrderedDict[str, None] = OrderedDict()  # ids of containers whose preStop hook was begun

    async def started(self, pod: Pod, spec: ContainerSpec, container_id: str, address: str) -> str:
        handler = spec.lifecycle.post_start if spec.lifecycle is not None else None
        if handler is None:
            return ""
        try:
            await self._run(handler, Asked(spec, container_id, address), POST_START_WITHIN_S)
        except HookFailed as error:
            return f"PostStartHook failed: {error}"
        return ""

    async def stopping(self, pod: Pod, container: Container, address: str, *, grace_period_s: float) -> float:
        spec = next((each for each in _specs(pod) if each.name == container.name), None)
        handler = spec.lifecycle.pre_stop if spec is not None and spec.lifecycle is not None else None
        if spec is None or handler is None or container.id in self._begun:
            return grace_period_s
        self._begun[container.id] = None
        if len(self._begun) > BEGUN_MAX:
            self._begun.popitem(last=False)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._run(handler, Asked(spec, container.id, address), grace_period_s)
        except HookFailed as error:
            words = f"PreStopHook failed: {error}"
            self._events.event(pod, WARNING, "FailedPreStopHook", words, container=container.name)
        return max(0.0, grace_period_s - (loop.time() - began))

    async def _run(self, handler: LifecycleHandler, asked: Asked, within_s: float) -> None:
        """Raises HookFailed."""
        try:
            async with asyncio.timeout(within_s):
                if handler.exec is not None:
                    await self._exec(handler.exec, asked, within_s)
                elif handler.http_get is not None:
                    await _ask(handler.http_get, asked)
                elif handler.sleep is not None:
                    await asyncio.sleep(handler.sleep.seconds)
                else:
                    raise HookFailed("invalid handler: there is no command, request or pause in it")
        except TimeoutError as error:
            raise HookFailed(f"not done within {within_s:g}s") from error

    async def _exec(self, action: ExecAction, asked: Asked, within_s: float) -> None:
        command = " ".join(action.command)
        try:
            found = await self._executor.exec_sync(asked.container_id, action.command, timeout_s=within_s)
        except TookTooLong as error:
            raise TimeoutError from error
        except RuntimeFailure as error:
            raise HookFailed(f"command '{command}' did not run: {error.message}") from error
        if found.exit_code:
            output = (found.stdout + found.stderr)[:OUTPUT_BYTES_MAX].decode("utf-8", "replace")
            raise HookFailed(f"command '{command}' exited with {found.exit_code}: {output}")


async def _ask(action: HTTPGetAction, asked: Asked) -> None:
    try:
        wish = http_wish(action, asked.spec, asked.address)
    except BadAction as error:
        raise HookFailed(str(error)) from error
    try:
        await get(wish)
    except TimeoutError:
        raise
    except (BadAnswer, OSError) as error:
        raise HookFailed(f'Get "{wish.url}": {error}') from error


def _specs(pod: Pod) -> tuple[ContainerSpec, ...]:
    return (*pod.spec.containers, *pod.spec.init_containers)
