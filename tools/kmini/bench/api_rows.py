"""The table of the API benchmark: which figures make a row, what is aimed at, and how each was taken. Pure."""

from __future__ import annotations

from .api_measure import ApiPlan, ApiRecord
from .api_pods import PODS_FEW
from .figures import Aim, Bound, Row, Unit
from .side import RANGE_KEYS

_MIB = 1024 * 1024


def rows(record: ApiRecord, plan: ApiPlan) -> list[Row]:
    """Every row, in the order of the table. Raises KeyError for a step that was not measured."""
    found = []
    for part in (_gets, _creates, _lists, _watch, _own):
        for row in part(record, plan):
            found.append(row)
            if record.has(f"kube_{row.key}"):
                found.append(_beside_kube(record, row))
    return found


def _beside_kube(record: ApiRecord, row: Row) -> Row:
    """The same figure of ours beside a kube-apiserver's."""
    return Row(
        key=f"{row.key}_kube",
        title="  beside kube-apiserver's",
        unit=row.unit,
        ours=row.ours,
        peer=record.figures(f"kube_{row.key}"),
        peer_name="kube",
    )


def _row(
    record: ApiRecord,
    step: str,
    title: str,
    unit: Unit,
    *,
    beside: tuple[str, str] | None = None,
    aim: Aim | Bound | None = None,
    note: str = "",
    key: str = "",
) -> Row:
    """`beside`: the peer's name and its step. `key`: where a step has two rows."""
    name, peer = beside or ("", "")
    return Row(
        key=key or step,
        title=title,
        unit=unit,
        ours=record.figures(step),
        peer=record.figures(peer) if peer else (),
        peer_name=name,
        aim=aim,
        note=note,
    )


def _client(record: ApiRecord, step: str) -> str:
    return f"wrk took {record.client_cpu(step):.0%} of a core"


def _gets(record: ApiRecord, plan: ApiPlan) -> list[Row]:
    hello, etcd = ("hello", "hello"), ("etcd", "etcd_get")
    return [
        _row(
            record, "get", f"linearizable gets, {plan.clients} clients", Unit.RATE, beside=hello, aim=Aim(at_least=0.6),
            note=f"of distinct pods, on the leader ({_client(record, 'get')}); the hello is aiohttp's low-level server "
            f"with the same TLS context and a body of 1.5 KiB ({_client(record, 'hello')})",
        ),
        _row(record, "get_follower", "  through a follower", Unit.RATE, beside=hello),
        _row(
            record, "get", "  beside etcd's", Unit.RATE, beside=etcd, key="get_etcd",
            note="etcd's by h2load, without TLS, one key of 1 KiB, the better of 8 connections of 8 streams and 64 "
            "connections; ours as above",
        ),
        _row(record, "get_p99", "  p99", Unit.SECONDS, beside=("hello", "hello_p99")),
        _row(record, "get_alone", "get, 1 client, p50", Unit.SECONDS),
    ]  # fmt: skip


def _creates(record: ApiRecord, plan: ApiPlan) -> list[Row]:
    hello, etcd = ("hello", "hello"), ("etcd", "etcd_put")
    return [
        _row(
            record, "create", f"creates, {plan.clients} clients", Unit.RATE, beside=hello, aim=Aim(at_least=0.3),
            note=f"POST of pods with names of their own, on the leader ({_client(record, 'create')}); each is on the "
            "disks of two replicas before it is answered",
        ),
        _row(record, "create_follower", "  through a follower", Unit.RATE, beside=hello),
        _row(
            record, "create", "  beside etcd's puts", Unit.RATE, beside=etcd, key="create_etcd",
            note="etcd's puts of 1 KiB as its gets; they are not admitted, defaulted, validated or authorized",
        ),
        _row(record, "create_p99", "  p99", Unit.SECONDS),
        _row(record, "create_alone", "create, 1 client, p50", Unit.SECONDS),
    ]  # fmt: skip


def _lists(record: ApiRecord, plan: ApiPlan) -> list[Row]:
    many = f"{plan.pods_many:,}"
    return [
        _row(
            record, "list_many", f"list of {many} pods, p50", Unit.SECONDS, beside=("etcd", "etcd_range"),
            aim=Bound(0.05, Unit.SECONDS),
            note=f"one client, one answer without a limit ({_client(record, 'list_many')}); etcd's is a range of "
            f"{RANGE_KEYS:,} keys of 1 KiB, without TLS",
        ),
        _row(record, "list_few", f"list of {PODS_FEW} pods, p50", Unit.SECONDS),
        _row(
            record, "probe_idle", "/livez, p99, nothing else", Unit.SECONDS,
            note="these three say how long others wait for the server's event loop; the probe and wrk share the cores",
        ),
        _row(record, "probe_listing", f"/livez, p99, while {many} pods are listed", Unit.SECONDS),
        _row(record, "probe_creating", f"/livez, p99, while {plan.clients} clients create", Unit.SECONDS),
    ]  # fmt: skip


def _watch(record: ApiRecord, plan: ApiPlan) -> list[Row]:
    count = f"{plan.watchers:,}"
    return [
        _row(
            record, "watch_last", f"event to the last of {count} watchers, p50", Unit.SECONDS,
            aim=Bound(0.04, Unit.SECONDS),
            note="from before the pod's creation is sent until the last watcher's socket has it (kernel's clock); "
            "each watcher has a TLS connection of its own to the leader",
        ),
        _row(record, "watch_first", "  to the first of them", Unit.SECONDS),
        _row(record, "watch_answered", "  until the creation is answered", Unit.SECONDS),
        _row(
            record, "watch_read", "  until the client has read all", Unit.SECONDS,
            note="one Python thread decrypts all of it, beside the server on the same cores",
        ),
    ]  # fmt: skip


def _own(record: ApiRecord, plan: ApiPlan) -> list[Row]:
    many = f"{plan.pods_many:,}"
    boot = Bound(0.8, Unit.SECONDS)
    return [
        _row(
            record, "rss_filled", f"RSS with {many} pods", Unit.BYTES, aim=Bound(150 * _MIB, Unit.BYTES),
            note="the largest replica, after the pods were created and listed once",
        ),
        _row(record, "anonymous_filled", "  of it RssAnon", Unit.BYTES),
        _row(
            record, "file_filled", "  of it RssFile", Unit.BYTES,
            note="programs, libraries and the pages of the state's file that are mapped, which the kernel may drop",
        ),
        _row(record, "rss_idle", "RSS of an empty cluster", Unit.BYTES),
        _row(record, "anonymous_idle", "  of it RssAnon", Unit.BYTES),
        _row(
            record, "boot_first", "boot to ready, first start", Unit.SECONDS, aim=boot,
            note=f"one replica alone with all its faces, keys and certificates made; median of {plan.boots}",
        ),
        _row(record, "boot_again", "boot to ready, restart", Unit.SECONDS, aim=boot, note="the page cache is warm"),
    ]  # fmt: skip
