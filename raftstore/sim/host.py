"""A machine of the simulated world: its disk, state folder and clock outlive the process that runs on it.

A host is killed (what was written stays), loses power (what was not synced goes, and its boot id changes),
is paused, starts again. What runs on it is a `Process`: one incarnation of a replica.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StoreError
from ..raft.engine import Member
from ..raft.segment import segment_sequence
from .disk import FakeDisk
from .runtime import DiskSpeed, ProcessKilled, VirtualClock, VirtualRuntime
from .schedule import Schedule

if TYPE_CHECKING:
    from .process import Process

_CUT_STEPS_MAX = 12
_FLIPPED_BYTES_MAX = 3


class Host:
    """`make_process(host, runtime)` opens a replica on this host.

    `failed` hears of errors nobody took, `refused` of a replica that could not be opened.
    """

    def __init__(
        self,
        *,
        schedule: Schedule,
        member: Member,
        cluster_id: int,
        folder: Path,
        rng: random.Random,
        clock_rate: float,
        disk_median_s: float,
        make_process: Callable[[Host, VirtualRuntime], Process],
        failed: Callable[[Host, str, BaseException], None],
        refused: Callable[[Host, Exception], None],
    ) -> None:
        self.schedule = schedule
        self.member = member
        self.member_id = member.id
        self.name = member.name
        self.cluster_id = cluster_id
        self.folder = folder
        self.disk = FakeDisk(random.Random(rng.getrandbits(64)))
        self.snapshot_disk = FakeDisk(random.Random(rng.getrandbits(64)))
        self.disk_speed = DiskSpeed(random.Random(rng.getrandbits(64)), median_s=disk_median_s)
        self.clock = VirtualClock(schedule, rate=clock_rate, offset_s=rng.random() * 1e5)
        self.boots = 1
        self.life = 0
        self.retired = False  # removed from the cluster: never starts again
        self.flipped = False  # bits of its journal were changed, and it has not been seen whole since
        self.lost = False  # it refuses to start: its disk is beyond repair
        self.process: Process | None = None
        self.runtime: VirtualRuntime | None = None
        self._rng = rng
        self._make_process = make_process
        self._failed = failed
        self._refused = refused
        self._dies_by_power = False

    @property
    def running(self) -> bool:
        return self.process is not None

    @property
    def paused(self) -> bool:
        return self.runtime is not None and self.runtime.paused

    @property
    def boot_id(self) -> str:
        return f"{self.name}-boot-{self.boots}"

    # --- life and death

    def start(self) -> None:
        """Start the replica, unless it runs or may not."""
        if self.running or self.retired or self.lost:
            return
        self.life += 1
        self.schedule.trace(f"start {self.name} life {self.life}")
        runtime = self.runtime = VirtualRuntime(
            self.schedule,
            owner=self.member_id,
            rng=random.Random(self._rng.getrandbits(64)),
            clock=self.clock,
            disk_speed=self.disk_speed,
            on_error=lambda context, error: self._failed(self, context, error),
            on_killed=self._killed_within,
        )
        runtime.dispatch(lambda: self._open(runtime))

    def _open(self, runtime: VirtualRuntime) -> None:
        try:
            process = self.process = self._make_process(self, runtime)
        except (OSError, StoreError) as error:
            self.schedule.trace(f"{self.name} cannot be opened: {type(error).__name__}: {error}")
            runtime.close_opened()
            self.crash(power=False)
            self._refused(self, error)
            return
        process.start()

    def crash(self, *, power: bool) -> None:
        """The process dies now; with `power` the whole machine does."""
        self.schedule.trace(f"crash {self.name} {'power' if power else 'kill'}")
        if self.runtime is not None:
            self.runtime.die(power=power)
        process, self.process = self.process, None
        if process is not None:
            process.abandon(silent=power)
        self.disk.crash(power=power)
        self.snapshot_disk.crash(power=power)
        if power:
            self.boots += 1
            self.clock = VirtualClock(self.schedule, rate=self.clock.rate, offset_s=self._rng.random() * 100)
            self._lose_state_folder()

    def stopped_itself(self) -> None:
        """The replica ended by its own decision: its process exits."""
        self.crash(power=False)

    def crash_from_within(self, *, power: bool) -> None:
        """Called from inside the process's own code: nothing behind this line of it happens."""
        self._dies_by_power = power
        raise ProcessKilled

    def cut_disk_soon(self, *, power: bool) -> None:
        """The process dies in the middle of one of its next disk instructions."""
        self._dies_by_power = power
        disk = self.disk if self._rng.random() < 0.6 else self.snapshot_disk
        disk.cut_after(self._rng.randrange(_CUT_STEPS_MAX))

    def _killed_within(self) -> None:
        power, self._dies_by_power = self._dies_by_power, False
        self.crash(power=power)

    def _lose_state_folder(self) -> None:
        """The state was never synced: after a power loss it may be anything."""
        for path in sorted(self.folder.rglob("*.mdb")) if self.folder.exists() else []:
            fate = self._rng.random()
            if fate < 0.3:
                path.unlink()
            elif fate < 0.6:
                content = bytearray(path.read_bytes())
                for _ in range(8):
                    at = self._rng.randrange(max(1, len(content) // 4096)) * 4096
                    content[at : at + 4096] = self._rng.randbytes(len(content[at : at + 4096]))
                path.write_bytes(content)

    # --- smaller troubles

    def mend(self) -> None:
        """Nothing is wrong with the hardware any more."""
        self.disk_well()
        self.disk.cut_after(None)
        self.snapshot_disk.cut_after(None)
        self.resume()

    def pause(self, *, freeze_clock: bool) -> None:
        if self.runtime is not None:
            self.runtime.pause(freeze_clock=freeze_clock)

    def resume(self) -> None:
        if self.runtime is not None:
            self.runtime.resume()

    def fill_disk(self) -> None:
        self.disk.full = self.snapshot_disk.full = True

    def disk_well(self) -> None:
        self.disk.full = self.snapshot_disk.full = False
        self.disk_speed.slow_factor = 1.0
        self.disk_speed.stalled_until_s = 0.0

    def flip_bit(self, rng: random.Random) -> bool:
        """Change bits of a journal file at rest. False when there is nothing to change."""
        names = [name for name in self.disk.names() if segment_sequence(name) is not None]
        sized = [(name, self.disk.written_size(name)) for name in names]
        sized = [(name, size) for name, size in sized if size > 0]
        if not sized:
            return False
        name, size = rng.choice(sized)
        offsets = [rng.randrange(size) for _ in range(rng.randint(1, _FLIPPED_BYTES_MAX))]
        self.schedule.trace(f"flip {self.name} {name} {offsets}")
        self.disk.flip_bits(name, offsets)
        self.flipped = True
        return True
