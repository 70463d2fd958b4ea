"""`python -m raftstore.sim run 0:300` and `python -m raftstore.sim replay 17 --trace`."""

from __future__ import annotations

import argparse
import sys

from ..raft.guard import PROTECTIONS
from .run import Plan, replay, run
from .swarm import Fault


def _seeds(text: str) -> range:
    """`a:b` is a, ..., b-1; a single number is that seed."""
    first, colon, end = text.partition(":")
    try:
        seeds = range(int(first), int(end) if colon else int(first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a:b") from None
    if not seeds or seeds.start < 0:
        raise argparse.ArgumentTypeError(f"{text!r} holds no seed")
    return seeds


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    faults = [fault.value for fault in Fault]
    common.add_argument(
        "--off", action="append", default=[], choices=sorted(PROTECTIONS), metavar="PROTECTION",
        help="leave a protection of the guard out (see docs/guard.md)",
    )  # fmt: skip
    common.add_argument(
        "--only", action="append", choices=faults, help="of the faults drawn keep only this (repeatable)"
    )
    common.add_argument("--without", action="append", default=[], choices=faults, help="leave a fault out (repeatable)")
    parser = argparse.ArgumentParser(prog="python -m raftstore.sim", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", parents=[common], help="run many seeds on all cores")
    run_parser.add_argument("seeds", type=_seeds, metavar="A:B", help="seeds A to B, B excluded")
    run_parser.add_argument("--jobs", type=int, default=0, help="processes (default: one per core)")
    run_parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    replay_parser = commands.add_parser("replay", parents=[common], help="run one seed again")
    replay_parser.add_argument("seed", type=int)
    replay_parser.add_argument("--trace", action="store_true", help="print every event")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every seed passed, 1 when one failed, 2 for bad usage."""
    parsed = _parser().parse_args(arguments)
    plan = Plan(
        protections_off=frozenset(parsed.off),
        only=None if parsed.only is None else frozenset(Fault(name) for name in parsed.only),
        without=frozenset(Fault(name) for name in parsed.without),
    )
    if parsed.command == "run":
        return run(parsed.seeds, plan, jobs=parsed.jobs, as_json=parsed.output == "json")
    return replay(parsed.seed, plan, with_trace=parsed.trace)


if __name__ == "__main__":
    sys.exit(main())
