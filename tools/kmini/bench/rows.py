"""The table: which figures make a row, what is aimed at, and how each was taken. Pure."""

from __future__ import annotations

from .figures import Aim, Row, Unit, median, percentile
from .measure import Plan, Record
from .side import CLIENTS, RANGE_KEYS, WATCHERS


def rows(record: Record, plan: Plan) -> list[Row]:
    """Every row, in the order of the table. Raises KeyError for a step that was not measured."""
    return [*_inside(record), *_fail_over(record, plan), *_through_face(record), *_filled(record, plan)]


def _row(
    record: Record,
    key: str,
    title: str,
    unit: Unit,
    steps: str | tuple[str, str],
    *,
    aim: Aim | None = None,
    note: str = "",
) -> Row:
    """`steps`: ours and etcd's, or one name for both."""
    ours, peer = (steps, steps) if isinstance(steps, str) else steps
    return Row(
        key=key,
        title=title,
        unit=unit,
        ours=record.figures("ours", ours),
        peer=record.figures("etcd", peer),
        aim=aim,
        note=note,
    )


def _better(record: Record, first: str, second: str) -> tuple[str, str]:
    """etcd's faster way of two (more per second), and what it is called."""
    if median(record.figures("etcd", first)) >= median(record.figures("etcd", second)):
        return first, "8 connections of 8 streams"
    return second, f"{CLIENTS} connections"


def _client(record: Record, side: str, step: str, program: str = "h2load") -> str:
    return f"{program} took {record.client_cpu(side, step):.0%} of a core"


def _inside(record: Record) -> list[Row]:
    put, put_way = _better(record, "grpc_put_shared", "grpc_put_separate")
    get, get_way = _better(record, "grpc_get_shared", "grpc_get_separate")
    row = _row
    return [
        row(
            record, "put_p50", "put, 1 client, p50", Unit.SECONDS, ("put_alone", "grpc_put_alone"),
            aim=Aim(at_most=1.0),
            note=f"ours in process on the leader; etcd's by h2load ({_client(record, 'etcd', 'grpc_put_alone')})",
        ),
        row(
            record, "put_rate", f"puts, {CLIENTS} clients", Unit.RATE, ("put_rate", put),
            aim=Aim(at_least=2.0),
            note=f"ours {CLIENTS} tasks in process; etcd's by h2load over {put_way}, the faster for it "
            f"({_client(record, 'etcd', put)})",
        ),
        row(
            record, "put_rate_separate", f"puts, {CLIENTS} clients, etcd's one connection each", Unit.RATE,
            ("put_rate", "grpc_put_separate"),
            note=f"ours the same figure as above; {_client(record, 'etcd', 'grpc_put_separate')}",
        ),
        row(
            record, "get_rate", f"linearizable gets, {CLIENTS} readers", Unit.RATE, ("get_rate", get),
            aim=Aim(at_least=10.0),
            note=f"as puts; etcd's over {get_way} ({_client(record, 'etcd', get)})",
        ),
        row(
            record, "range", f"range of {RANGE_KEYS:,} keys, p50", Unit.SECONDS, ("range", "grpc_range"),
            aim=Aim(at_most=0.7),
            note=f"linearizable, 1 KiB each, one at a time ({_client(record, 'etcd', 'grpc_range')})",
        ),
        row(
            record, "watch", f"event to the last of {WATCHERS} watchers, p50", Unit.SECONDS, ("watch", "grpc_watch"),
            aim=Aim(at_most=1.5),
            note="from the put's sending, the put's own time included; ours in process; etcd's 100 streams of one "
            f"connection, read by hand ({_client(record, 'etcd', 'grpc_watch', 'the client')})",
        ),
    ]  # fmt: skip


def _fail_over(record: Record, plan: Plan) -> list[Row]:
    figures = {side: record.figures(side, "fail_over") for side in ("ours", "etcd")}
    note = f"{plan.kills} kills each; puts every 10 ms to both others, none waits for another"
    rows = [
        Row(
            key="fail_over_p50", title="kill -9 of the leader to first put, median", unit=Unit.SECONDS,
            ours=figures["ours"], peer=figures["etcd"], aim=Aim(at_most=1.0), note=note,
        )
    ]  # fmt: skip
    tail = {side: (percentile(values, 0.99),) for side, values in figures.items()}
    rows.append(
        Row(
            key="fail_over_p99", title="kill -9 of the leader to first put, p99", unit=Unit.SECONDS,
            ours=tail["ours"], peer=tail["etcd"], aim=Aim(at_most=1.0), note=f"of {plan.kills}: the slowest",
        )
    )  # fmt: skip
    return rows


def _through_face(record: Record) -> list[Row]:
    at_least = Aim(at_least=0.5)
    table = (
        ("grpc_put_alone", "gRPC: put, 1 client, p50", Unit.SECONDS, None),
        ("grpc_put_shared", "gRPC: puts, 8 connections x 8", Unit.RATE, at_least),
        ("grpc_put_separate", f"gRPC: puts, {CLIENTS} connections", Unit.RATE, at_least),
        ("grpc_get_shared", "gRPC: gets, 8 connections x 8", Unit.RATE, at_least),
        ("grpc_get_separate", f"gRPC: gets, {CLIENTS} connections", Unit.RATE, at_least),
        ("grpc_range", f"gRPC: range of {RANGE_KEYS:,} keys, p50", Unit.SECONDS, None),
        ("grpc_watch", f"gRPC: event to the last of {WATCHERS}, p50", Unit.SECONDS, None),
    )
    made = []
    for step, title, unit, aim in table:
        program = "the client" if step == "grpc_watch" else "h2load"
        note = (
            f"same client for both, {program}: {record.client_cpu('ours', step):.0%} of a core with ours, "
            f"{record.client_cpu('etcd', step):.0%} with etcd's"
        )
        made.append(_row(record, step, title, unit, step, aim=aim, note=note))
    return made


def _filled(record: Record, plan: Plan) -> list[Row]:
    keys = f"{plan.fill:,}"
    per_minute = "both clusters side by side" if plan.idle_s >= 60 else f"scaled up from {plan.idle_s:g} s"
    table = (
        ("fill", f"{keys} puts of distinct keys, {CLIENTS} in flight", Unit.RATE, None,
         f"ours in process; etcd's over one connection by hand ({_client(record, 'etcd', 'fill', 'the client')})"),
        ("restart", f"restart with {keys} keys to first put", Unit.SECONDS, Aim(at_most=1.0),
         "kill -9 of all three, then from the first start; page cache warm"),
        ("rss_idle", "RSS idle", Unit.BYTES, None, "largest member, fresh cluster"),
        ("anonymous_idle", "  of it RssAnon", Unit.BYTES, None, ""),
        ("rss_filled", f"RSS after {keys} puts", Unit.BYTES, Aim(at_most=0.5),
         "largest member; ours includes the load's tasks and the pages of the state file that are mapped"),
        ("anonymous_filled", "  of it RssAnon", Unit.BYTES, None, ""),
        ("device_put", "written to the device per put", Unit.BYTES, None,
         "those puts until synced: all three members together, the file system's own writes and whatever else runs"),
        ("written_put", "write_bytes per put", Unit.BYTES, None,
         "of /proc/PID/io, all three members: the kernel counts whole folios, not what reaches the disk"),
        ("written_idle", "write_bytes per idle minute", Unit.BYTES, None, f"all three members; {per_minute}"),
        ("cpu_idle", "processor time per idle minute", Unit.SECONDS, None, "all three members"),
    )  # fmt: skip
    known = (line for line in table if line[0] != "device_put" or record.has("device_put"))
    return [_row(record, step, title, unit, step, aim=aim, note=note) for step, title, unit, aim, note in known]
