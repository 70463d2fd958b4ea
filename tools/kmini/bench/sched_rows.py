"""The table of the scheduler's benchmark: which figures make a row, what is aimed at, how each was taken. Pure."""

from __future__ import annotations

from .api_measure import ApiRecord
from .figures import Bound, Least, Row, Unit
from .sched_measure import SchedPlan

_MIB = 1024 * 1024
_MB = 1000 * 1000


def rows(record: ApiRecord, plan: SchedPlan) -> list[Row]:
    """Every row, in the order of the table. Raises KeyError for a step that was not measured."""
    return [
        *_alone(record, plan),
        *_api(record, plan),
        *(row for nodes in plan.idle_nodes for row in _idle(record, nodes)),
    ]


def _row(
    record: ApiRecord, step: str, title: str, unit: Unit, *, aim: Bound | Least | None = None, note: str = ""
) -> Row:
    return Row(key=step, title=title, unit=unit, ours=record.figures(step), aim=aim, note=note)


def _alone(record: ApiRecord, plan: SchedPlan) -> list[Row]:
    many = f"{plan.pods:,} pods onto {plan.nodes:,} nodes"
    return [
        _row(
            record, "alone_rate", f"{many}, scheduler alone", Unit.RATE,
            note="queue, decisions, informers, client and JSON, on a twin of the API in the same process that neither "
            "checks, stores nor sends anything; pods of ten kinds, all of which fit",
        ),
        _row(
            record, "alone_cpu_pod_s", "  processor per pod", Unit.SECONDS,
            note="of the same run; other work on the machine hardly changes it",
        ),
        _row(record, "alone_decision_p50_s", "  one decision, p50", Unit.SECONDS),
        _row(
            record, "alone_decision_p99_s", "  one decision, p99", Unit.SECONDS,
            note="a pod that asks a node for something new has half of them looked at",
        ),
        _row(record, "alone_lateness_p99_s", "  timers of the loop come late by, p99", Unit.SECONDS),
    ]  # fmt: skip


def _api(record: ApiRecord, plan: SchedPlan) -> list[Row]:
    return [
        _row(
            record, "api_rate", "through the API of one replica", Unit.RATE, aim=Least(500, Unit.RATE),
            note="controllers in the server's process (but those of nodes, which are objects alone), over TLS; each "
            "binding is on the disk before it is answered; from the first pod with a node to the last, all pods being "
            "there before; Kubernetes' own thresholds on 5,000 nodes are 680 to 810 a second",
        ),
        _row(record, "api_cpu_pod_s", "  processor per pod, server and all", Unit.SECONDS),
        _row(
            record, "api_decision_p99_s", "  one decision, p99, at most", Unit.SECONDS,
            note="the bound of the histogram's bucket it lies in, and so for lateness",
        ),
        _row(record, "api_lateness_p99_s", "  timers of the loop come late by, p99, at most", Unit.SECONDS),
        _row(
            record, "rss", f"RSS of the replica with {plan.pods:,} pods", Unit.BYTES,
            aim=Bound(200 * _MIB, Unit.BYTES), note="the one that leads: store, API, controllers, scheduler",
        ),
        _row(record, "anonymous", "  of it RssAnon", Unit.BYTES),
        _row(
            record, "deployment_s", f"Deployment of {plan.replicas:,}, applied to all bound", Unit.SECONDS,
            note="on the filled cluster",
        ),
    ]  # fmt: skip


def _idle(record: ApiRecord, nodes: int) -> list[Row]:
    step, of = f"idle_{nodes}", f"{nodes} node{'s' if nodes > 1 else ''}"
    return [
        _row(
            record, f"{step}_cpu_controllers", f"idle, {of}: controllers", Unit.SHARE, aim=Bound(0.01, Unit.SHARE),
            note="what the server takes with them less what it takes without",
        ),
        _row(record, f"{step}_cpu_without_leases", "  the whole server", Unit.SHARE),
        _row(
            record, f"{step}_written_without_leases", "  written a day", Unit.BYTES, aim=Bound(20 * _MB, Unit.BYTES),
            note="journal, state and log together, by the kernel's count of the process; nobody renews a node's lease",
        ),
        _row(record, f"{step}_journal_without_leases", "  of it the journal grew by", Unit.BYTES),
        _row(record, f"{step}_cpu_with_leases", "  the whole server, node leases renewed", Unit.SHARE),
        _row(
            record, f"{step}_written_with_leases", "  written a day, node leases renewed", Unit.BYTES,
            note="the kernel counts whole folios, which on some file systems are far larger than what is written",
        ),
        _row(
            record, f"{step}_journal_with_leases", "  of it the journal grew by", Unit.BYTES,
            note="the state's pages come on top, each at most once in the time the kernel keeps what it has to write",
        ),
    ]  # fmt: skip
