"""`kmini status`: the replica of a data directory and the cluster it sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import EXIT_FAILED, EXIT_OK, CommandError
from ..layout import Layout, Running
from ..options import command, data_dir_option, output_option

if TYPE_CHECKING:
    from ..inspection import ClusterFacts


@command("status")
@data_dir_option
@output_option
def status(data_dir: Path, output: str) -> int:
    """Say how the replica and its cluster are. Exit code 1 when anything is not as it should be."""
    layout = Layout(data_dir.absolute())
    running = layout.running()
    if running is None:
        raise CommandError(f"nothing runs in {layout.data_dir}")
    from ..inspection import look

    facts = look(layout, running)
    click.echo(as_json(running, facts) if output == "json" else as_text(running, facts))
    return EXIT_OK if facts.healthy else EXIT_FAILED


def as_json(running: Running, facts: ClusterFacts) -> str:
    import msgspec

    together = {"healthy": facts.healthy, "process": running, "cluster": facts}
    return msgspec.json.format(msgspec.json.encode(together), indent=2).decode()


def as_text(running: Running, facts: ClusterFacts) -> str:
    leader = next((member.name for member in facts.members if member.id == facts.leader), facts.leader) or "none"
    lines = [
        f"{running.name}  process {running.pid}, member {facts.member_id} of cluster {facts.cluster_id}",
        f"leader {leader}, term {facts.term}, revision {facts.revision}, "
        f"{facts.used_bytes / 1e6:.1f} MB used of {facts.size_bytes / 1e6:.1f} MB on disk",
        "",
        f"{'NAME':<12} {'ID':<16} {'ROLE':<8} {'PEER ADDRESS':<22} {'APPLIED':>10} {'REVISION':>10}  STATE",
    ]
    for member in facts.members:
        role = "leader" if member.leader else "learner" if member.learner else "voter"
        state = member.problem or ("ok" if member.reachable else "unreachable")
        lines.append(
            f"{member.name:<12} {member.id:<16} {role:<8} {member.peer_address:<22} "
            f"{member.applied_index:>10} {member.revision:>10}  {state}"
        )
    lines += [f"problem: {problem}" for problem in facts.problems]
    return "\n".join(lines)
