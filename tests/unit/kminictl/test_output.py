"""How answers look: jsonpath, custom columns, ages, YAML, JSON, tables, order. The expected text is kubectl's."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kminictl import command
from kminictl.cluster.session import Options, Session
from kminictl.cluster.yaml_loading import Loader
from kminictl.describing.writer import Writer
from kminictl.failures import CommandError
from kminictl.output import ages, gojson, goyaml, printers, tables
from kminictl.output.custom_columns import CustomColumns, from_spec, from_template
from kminictl.output.jsonpath import JsonPath, relaxed
from kminictl.output.ordering import compared
from kminictl.output.printable import printable
from kminictl.output.tabwriter import Columns, aligned

PODS: dict[str, Any] = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "labels": {"app": "db", "x.y/z": "q"}}, "n": 3, "ok": True, "tags": ["u", "v"]},
        {"metadata": {"name": "b", "labels": {"app": "web"}}, "n": 5, "ok": False, "tags": []},
    ],
}


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name} and {.items[-1].metadata.name}", "a and b"),
        ('{range .items[*]}{.metadata.name}={.n}{"\\n"}{end}', "a=3\nb=5\n"),
        ('{range .items[*]}{range .tags[*]}{@},{end}{"|"}{end}', "u,v,||"),
        ('{.items[?(@.metadata.labels.app=="db")].metadata.name}', "a"),
        ("{.items[?(@.metadata.labels.app!='db')].metadata.name}", "b"),
        ("{.items[?(@.n>3)].metadata.name}", "b"),
        ("{.items[?(@.n<=3)].metadata.name}", "a"),
        ("{.items[?(@.ok==true)].metadata.name}", "a"),
        ("{.items[?(@.metadata.labels.x\\.y/z)].metadata.name}", "a"),
        ("{.items[0].metadata.labels.x\\.y/z}", "q"),
        ("{.items[0].metadata.labels['x.y/z']}", "q"),
        ("{.items[0]['n','ok']}", "3 true"),
        ("{.items[0,1].n}", "3 5"),
        ("{.items[0:1].n}", "3"),
        ("{.items[-1:].n}", "5"),
        ("{.items[0].tags}", '["u","v"]'),
        ("{.items[0].metadata.labels}", '{"app":"db","x.y/z":"q"}'),
        ("{..name}", "a b"),
        ("{.items[0].metadata.*}", 'a {"app":"db","x.y/z":"q"}'),
        ("{$.items[0].n}", "3"),
        ("{.nope.really}", ""),
        ("plain", "plain"),
        ("{'quoted'}{\"\\t\"}x", "quoted\tx"),
        ("{.items[0].ok}", "true"),
    ],
)
def test_jsonpath_is_kubectls_dialect(template: str, shown: str) -> None:
    assert JsonPath(template).text(PODS) == shown


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{.items", "unclosed action"),
        ("{.items[0}", "unterminated array"),
        ("{range .items[*]}{.n}", "unclosed range"),
        ("{end}", "nothing to end"),
        ("{'open}", "unclosed action"),
        ("{.items[x]}", "invalid array index x"),
        ("{nope}", "unrecognized identifier nope"),
        ("{&&}", "unrecognized identifier &&"),
    ],
)
def test_a_template_that_makes_no_sense_is_said(template: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        JsonPath(template)


def test_an_index_out_of_bounds_is_said() -> None:
    with pytest.raises(ValueError, match="array index out of bounds: index 7, length 2"):
        JsonPath("{.items[7]}").text(PODS)


@given(st.text(alphabet="{}[]().*@$?=!<>&|'\"\\ab01,: -", max_size=30))
def test_any_text_is_a_template_or_is_refused(template: str) -> None:
    with contextlib.suppress(ValueError):
        JsonPath(template).text(PODS)


@pytest.mark.parametrize("written", ["metadata.name", ".metadata.name", "{.metadata.name}", "{metadata.name}"])
def test_short_expressions_mean_the_same(written: str) -> None:
    assert relaxed(written) == "{.metadata.name}"


def test_custom_columns() -> None:
    columns = CustomColumns(from_spec("NAME:.metadata.name,APP:.metadata.labels.app,TAGS:.tags[*],ALL:.tags,OK:.ok"))
    for each in PODS["items"]:
        columns.add(each)
    assert columns.flush() == (
        "NAME   APP   TAGS     ALL     OK\na      db    u,v      [u v]   true\nb      web   <none>   []      false\n"
    )
    assert from_template("A B\n.a .b\n") == [("A", ".a"), ("B", ".b")]
    for wrong in ("NAME", "A:.b:c"):
        with pytest.raises(ValueError, match="expected <header>:<json-path-expr>"):
            from_spec(wrong)
    with pytest.raises(ValueError, match=r"number of headers \(2\) and field specifications \(1\)"):
        from_template("A B\n.a")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 60, "5h1m"),
        (8 * 3600 + 120, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400 + 3600, "8d"),
        (2 * 365 * 86400 - 1, "729d"),
        (2 * 365 * 86400, "2y"),
        (3 * 365 * 86400 + 20 * 86400, "3y20d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages(seconds: int, shown: str) -> None:
    assert ages.human(seconds) == shown
    now = datetime(2026, 5, 1, tzinfo=UTC)
    if seconds >= 0:
        assert ages.since((now - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z"), now) == shown


@pytest.mark.parametrize("moment", [None, "", "soon", 5])
def test_an_age_that_nobody_knows(moment: object) -> None:
    assert ages.since(moment) == "<unknown>"


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5.0), ("1h30m", 5400.0), ("500ms", 0.5), ("-1s", -1.0), ("1.5m", 90.0), ("0", 0.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert ages.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "1h-3m", "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        ages.duration_s(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_yaml_is_read_back_as_it_was(value: Any) -> None:
    text = goyaml.dump({"value": value})
    assert yaml.load(text, Loader=Loader)["value"] == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("true", '"true"'),
        ("y", '"y"'),
        ("1e3", '"1e3"'),
        ("0x1F", '"0x1F"'),
        ("10:30", '"10:30"'),
        ("2026-01-01T00:00:00Z", '"2026-01-01T00:00:00Z"'),
        ("", '""'),
        ("null", '"null"'),
        ("a: b", "'a: b'"),
        ("- x", "'- x'"),
        ("1.2.3", "1.2.3"),
        ("v1", "v1"),
        ({}, "{}"),
        ([], "[]"),
        (1.0, "1"),
        (0.5, "0.5"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_yaml_is_quoted_where_go_quotes_it(value: Any, written: str) -> None:
    assert goyaml.dump({"k": value}) == f"k: {written}\n"


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "a\u2029b", "a\r\nb", "\ufeffa"])
def test_line_ends_of_others_stay_what_they_are(text: str) -> None:
    assert yaml.load(goyaml.dump({"k": text}), Loader=Loader) == {"k": text}


def test_yaml_lists_are_not_indented_and_text_is_kept_in_lines() -> None:
    assert goyaml.dump({"a": [{"b": "x\ny\n"}]}) == "a:\n- b: |\n    x\n    y\n"


def test_json_is_escaped_as_go_does() -> None:
    assert gojson.compact({"b": "<&>", "a": "\u2028"}) == '{"a":"\\u2028","b":"\\u003c\\u0026\\u003e"}'
    assert gojson.indented({"a": [], "b": {"c": 1}}) == '{\n    "a": [],\n    "b": {\n        "c": 1\n    }\n}'
    assert gojson.sprint({"b": [1, None], "a": True}) == "map[a:true b:[1 <nil>]]"


def test_columns_of_a_description_are_those_of_neighbours() -> None:
    assert aligned("Name:\tone\nLabels:\ta=b\n\tc=d\nAlone\nX:\ty\n") == (
        "Name:    one\nLabels:  a=b\n         c=d\nAlone\nX:  y\n"
    )


def test_columns_of_a_table_never_grow_narrower() -> None:
    columns = Columns()
    columns.add(["NAME", "AGE"])
    columns.add(["a-long-name", "5s"])
    assert columns.flush() == "NAME          AGE\na-long-name   5s\n"
    columns.add(["b", "6s"])
    assert columns.flush() == "b             6s\n"


TABLE = {
    "columnDefinitions": [{"name": "Name"}, {"name": "Age"}, {"name": "Node", "priority": 1}],
    "rows": [
        {
            "cells": ["one", "5s", "n1"],
            "object": {"metadata": {"name": "one", "namespace": "ns", "labels": {"a/app": "web", "b": "c"}}},
        },
        {"cells": ["two\nlines\x1b[31m", None, 3], "object": {"metadata": {"namespace": "ns"}}},
    ],
}


@pytest.mark.parametrize(
    ("layout", "shown"),
    [
        (tables.Layout(), "NAME     AGE\none      5s\ntwo...   \n"),
        (tables.Layout(headers=False), "one      5s\ntwo...   \n"),
        (tables.Layout(wide=True), "NAME     AGE   NODE\none      5s    n1\ntwo...         3\n"),
        (tables.Layout(namespaces=True), "NAMESPACE   NAME     AGE\nns          one      5s\nns          two...   \n"),
        (tables.Layout(kind="pod"), "NAME         AGE\npod/one      5s\npod/two...   \n"),
        (tables.Layout(label_columns=("a/app",)), "NAME     AGE   APP\none      5s    web\ntwo...         \n"),
        (
            tables.Layout(show_labels=True),
            "NAME     AGE   LABELS\none      5s    a/app=web,b=c\ntwo...         <none>\n",
        ),
    ],
)
def test_tables(layout: tables.Layout, shown: str) -> None:
    printer = tables.TablePrinter(layout)
    printer.add(TABLE)
    assert printer.flush() == shown


def test_a_cell_cannot_move_the_cursor() -> None:
    assert tables.cell_text("a\x1b[2Jb") == "a^[[2Jb"


@pytest.mark.parametrize(
    ("smaller", "larger"), [(None, 1), (1, 2), ("a2", "a10"), ("100m", "1"), ("1Gi", "1025Mi"), ("a", "b"), (1, "x")]
)
def test_order(smaller: object, larger: object) -> None:
    assert compared(smaller, larger) == -1
    assert compared(larger, smaller) == 1
    assert compared(larger, larger) == 0


def test_formats_there_are_not() -> None:
    for wrong in ("nope", "jsonpath", "custom-columns", "jsonpath={.a", "custom-columns=A"):
        with pytest.raises(CommandError):
            printers.printer_of(wrong)


def test_names() -> None:
    assert printers.name_of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}) == (
        "deployment.apps/web"
    )
    assert printers.name_of({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}}) == "pod/one"


# --- what others say, on a terminal -----------------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07 a\rb \x9b2J\x7f"
HARMLESS = "^[]0;owned^G a\\rb \\x9b2J^?"


def test_what_others_say_does_not_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {"current-context": "c", "clusters": [cluster], "users": [{"name": "u", "user": {}}]}
    (tmp_path / "config").write_text(yaml.safe_dump(config | {"contexts": [context]}))
    assert printable(HOSTILE) == HARMLESS
    assert printable("a\tb\nä 漢 🙂") == "a\tb\nä 漢 🙂"
    columns, writer, session = Columns(), Writer(), Session(Options(kubeconfig=str(tmp_path / "config")))
    columns.add(["Unhealthy", HOSTILE])
    writer.line(1, "Message:", HOSTILE)
    session.tell(HOSTILE)
    session.warn(f"not copied: {HOSTILE}")
    shown = [columns.flush(), writer.text(), *capsys.readouterr().err.splitlines()]
    assert [HARMLESS in each for each in shown] == [True] * 4
    assert [each for each in shown if "\x1b" in each or "\x9b" in each] == []


def test_an_error_in_others_words_does_not_either(capsys: pytest.CaptureFixture[str]) -> None:
    assert command._failed(CommandError(f"tar: {HOSTILE}", 2)) == 2
    assert capsys.readouterr().err == f"error: tar: {HARMLESS}\n"
