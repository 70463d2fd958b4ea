"""A containerd of the agent's own: started, kept running, adopted by the next agent, stopped.

It lives longer than the agent: a session and control groups of its own, process 1 as parent, no signal when the agent
dies. Containers live longer than it: each has a shim. What must hold: there is never a second containerd on the same
folder, whatever was killed when. So before one is started we look at the one we remember and, as that memory may be
lost, at every process for one with our configuration.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec

from apiserver.client.retry import Backoff
from nodeagent.errors import AgentError
from nodeagent.identity import write_file

from . import launch, processes
from .containerd_config import SEARCHED, Layout, Programs, check_socket, config_text
from .processes import Process
from .snapshotter import OVERLAY, snapshotter_for

log = logging.getLogger(__name__)

START_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0
LAUNCH_WITHIN_S = 60.0
ASK_EVERY_S = 0.05
LOG_BYTES_MAX = 64 * 1024 * 1024  # at a start a longer log is put aside, once
_AGAIN = Backoff(first_s=0.2, longest_s=10.0)
_CAP_SYS_RESOURCE = 24

#: Whether the runtime on our socket answers; False for anything that may pass.
Answers = Callable[[], Awaitable[bool]]


class PrivateContainerd:
    """`groups`: the folders of the control groups that it is put into. One task at a time."""

    def __init__(self, layout: Layout, programs: Programs, *, groups: Sequence[Path], answers: Answers) -> None:
        """Raises AgentError for a folder whose path is too long."""
        check_socket(layout.socket)
        self._layout = layout
        self._programs = programs
        self._groups = groups
        self._answers = answers
        self._process: Process | None = None
        self._random = Random()

    @property
    def process(self) -> Process | None:
        """The one that answered last."""
        return self._process

    async def ensure(self) -> Process:
        """The one that runs, or a new one; it answers. Raises AgentError."""
        found = await asyncio.to_thread(self._running)
        if found is not None:
            if await self._wait_answer(found):
                log.info("containerd runs already", extra={"pid": found.pid})
                self._remember(found)
                return found
            log.warning("containerd does not answer and is started anew", extra={"pid": found.pid})
            await self._kill(found)
        started = await self._start()
        if not await self._wait_answer(started):
            raise AgentError(f"containerd does not answer: {self._last_words()}")
        return started

    async def run(self) -> None:
        """Keep it running until this is cancelled; then it goes on alone. After `ensure`."""
        failures = 0
        while True:
            known = self._process
            if known is not None:
                await _ended(known)
                log.warning("containerd ended", extra={"pid": known.pid, "log": str(self._layout.log)})
            try:
                self._process = None
                await self.ensure()
                failures = 0
            except AgentError as error:
                log.error("containerd did not start", extra={"error": str(error)})
                await asyncio.sleep(_AGAIN.wait_s(failures, self._random))
                failures += 1

    async def stop(self) -> None:
        """End it. Containers that still run have shims and stay: stop them first. No error when none runs."""
        found = await asyncio.to_thread(self._running)
        if found is None:
            return
        processes.send(found, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await _ended(found)
        except TimeoutError:
            await self._kill(found)
        self._process = None
        self._layout.record.unlink(missing_ok=True)

    # --- which one runs -----------------------------------------------------------------------------------

    @property
    def _arguments(self) -> list[str]:
        return ["--config", str(self._layout.config)]

    def _running(self) -> Process | None:
        return remembered(self._layout) or next(iter(processes.find(self._arguments)), None)

    def _remember(self, found: Process) -> None:
        """On the disk if it takes it: else it is found among all processes."""
        self._process = found
        try:
            write_file(self._layout.record, msgspec.json.encode(found))
        except AgentError as error:
            log.warning("containerd's process was not noted", extra={"pid": found.pid, "error": str(error)})

    async def _kill(self, found: Process) -> None:
        """Raises AgentError when it does not end."""
        processes.send(found, signal.SIGKILL)
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await _ended(found)
        except TimeoutError:
            raise AgentError(f"containerd (process {found.pid}) cannot be killed") from None

    # --- starting -----------------------------------------------------------------------------------------

    async def _start(self) -> Process:
        try:
            self._prepare()
            pid = await self._launch()
        except OSError as error:
            raise AgentError(f"cannot start containerd: {error.filename}: {error.strerror}") from error
        found = processes.process(pid)
        if found is None:
            raise AgentError(f"containerd ended at once: {self._last_words()}")
        self._remember(found)
        log.info("containerd started", extra={"pid": pid, "socket": str(self._layout.socket)})
        return found

    def _prepare(self) -> None:
        layout = self._layout
        for folder in (layout.folder, layout.root, layout.state, layout.cni, layout.registries):
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        snapshotter = snapshotter_for(layout.root)
        if snapshotter != OVERLAY:
            log.warning("layers of images are copied: there can be no overlay", extra={"folder": str(layout.root)})
        right = _has_capability(_CAP_SYS_RESOURCE)
        text = config_text(layout, self._programs, may_lower_oom_score=right, snapshotter=snapshotter)
        write_file(layout.config, text.encode())
        with suppress(FileNotFoundError):
            if layout.log.stat().st_size > LOG_BYTES_MAX:
                layout.log.replace(layout.log.with_name(layout.log.name + ".old"))

    async def _launch(self) -> int:
        groups = map(str, self._groups)
        command = [self._programs.containerd, *self._arguments]
        launching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(launch.__file__), str(self._layout.log), *groups, "--", *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
        try:
            async with asyncio.timeout(LAUNCH_WITHIN_S):
                output, errors = await launching.communicate()
        except TimeoutError:
            launching.kill()
            await launching.wait()
            raise AgentError(f"containerd was not started within {LAUNCH_WITHIN_S:g} s") from None
        if launching.returncode != 0:
            raise AgentError(f"cannot start containerd: {errors.decode(errors='replace').strip()}")
        return int(output)

    async def _wait_answer(self, found: Process) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_WITHIN_S
        while processes.alive(found):
            over = loop.time() >= deadline  # and asked once more: it may be we who stood still
            if await self._answers():
                return True
            if over:
                break
            await asyncio.sleep(ASK_EVERY_S)
        return False

    def _last_words(self) -> str:
        """The last line of its log that tells of an error, else where the log is."""
        where = f"see {self._layout.log}"
        with suppress(OSError), self._layout.log.open("rb") as file:
            file.seek(max(0, self._layout.log.stat().st_size - 16384))
            lines = file.read().decode(errors="replace").splitlines()
            told = next((line for line in reversed(lines) if "level=error" in line or "containerd:" in line), "")
            return f"{told[:500]} ({where})" if told else where
        return where


def remembered(layout: Layout) -> Process | None:
    """The one of this folder that was noted last, if it runs."""
    try:
        known = msgspec.json.decode(layout.record.read_bytes(), type=Process)
    except (OSError, msgspec.DecodeError):
        return None
    return known if processes.alive(known) else None


async def _ended(known: Process) -> None:
    """Wait until it has."""
    loop = asyncio.get_running_loop()
    with processes.handle(known) as descriptor:
        if descriptor is None:
            return
        over = asyncio.Event()
        loop.add_reader(descriptor, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(descriptor)


def _environment() -> dict[str, str]:
    """Ours, without our own settings, and where containerd finds its shim and plug-ins their programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KMINI_", "PYTHON"))}
    return kept | {"PATH": os.pathsep.join(SEARCHED)}


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
