"""The table of the benchmark of pods: which figures make a row, what is aimed at, how each was taken. Pure."""

from __future__ import annotations

from .api_measure import ApiRecord
from .figures import Aim, Bound, Least, Row, Unit
from .pods_measure import PodsPlan

_MIB = 1024 * 1024
_PEER = "CRI alone"


def rows(record: ApiRecord, plan: PodsPlan) -> list[Row]:
    """Every row, in the order of the table. Raises KeyError for a step that was not measured."""
    return [*_started(record, plan), *_agent(record, plan)]


def _row(
    record: ApiRecord,
    step: str,
    title: str,
    unit: Unit,
    *,
    peer: str = "",
    aim: Aim | Bound | Least | None = None,
    note: str = "",
) -> Row:
    beside = record.figures(peer) if peer else ()
    return Row(
        key=step, title=title, unit=unit, ours=record.figures(step), peer=beside, peer_name=_PEER, aim=aim, note=note
    )


def _started(record: ApiRecord, plan: PodsPlan) -> list[Row]:
    many = f"{plan.at_once} at once"
    return [
        _row(
            record, "running_p50_s", "POST to Running, one pod at a time, p50", Unit.SECONDS, peer="bare_p50_s",
            note="from the request to the watch event that shows it; beside it RunPodSandbox, CreateContainer and "
            "StartContainer alone on the same containerd, a pod of each in turns",
        ),
        _row(record, "running_p99_s", "  p99", Unit.SECONDS, note="the slowest of a round when there are few"),
        _row(
            record, "added_p50_s", "  what we add to the calls, p50", Unit.SECONDS, aim=Bound(0.050, Unit.SECONDS),
            note="the difference of the medians: two durable writes of the API, two watches and the agent",
        ),
        _row(
            record, "rate_1", "pods, one at a time", Unit.RATE, peer="bare_rate_1", aim=Aim(at_least=0.9),
        ),
        _row(
            record, "rate_many", f"pods, {many}", Unit.RATE, peer="bare_rate_many", aim=Aim(at_least=0.9),
        ),
        _row(record, "running_many_p50_s", f"POST to Running, {many}, p50", Unit.SECONDS),
        _row(record, "running_many_p99_s", "  p99", Unit.SECONDS),
    ]  # fmt: skip


def _agent(record: ApiRecord, plan: PodsPlan) -> list[Row]:
    return [
        _row(
            record, "idle_rss", "agent without pods, RSS", Unit.BYTES, aim=Bound(80 * _MIB, Unit.BYTES),
            note="containerd and shims are processes of their own",
        ),
        _row(record, "idle_anonymous", "  of it RssAnon", Unit.BYTES),
        _row(record, "idle_cpu", "  processor", Unit.SHARE),
        _row(record, "kept_rss", f"agent with {plan.kept} pods, RSS", Unit.BYTES),
        _row(record, "kept_anonymous", "  of it RssAnon", Unit.BYTES),
        _row(record, "kept_cpu", "  processor", Unit.SHARE, aim=Bound(0.02, Unit.SHARE)),
    ]  # fmt: skip
