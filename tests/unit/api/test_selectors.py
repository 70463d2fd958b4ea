"""Label and field selectors: grammar, rules, matching; text and selector are two forms of one thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api import selectors
from apiserver.api.meta import LabelSelector, LabelSelectorRequirement
from apiserver.api.selectors import EVERYTHING, NOTHING, Requirement, from_label_selector, parse_fields, parse_labels

LABEL_VALUE_RULE = "a valid label must be an empty string or consist of alphanumeric characters"
WEB = {"app": "web", "tier": "front", "weight": "10", "empty": ""}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        ("  ", ""),
        ("x=a,y=b,z=c", "x=a,y=b,z=c"),
        ("z=c,x=a", "x=a,z=c"),
        ("x!=a,y==b", "x!=a,y==b"),
        ("x", "x"),
        ("!x", "!x"),
        ("! x , y", "!x,y"),
        ("x=", "x="),
        ("x= ,z= ", "x=,z="),
        ("x in ()", "x in ()"),
        ("x in (b,a,b)", "x in (a,b)"),
        ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
        ("x in (,)", "x in ()"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("x=in", "x=in"),
        ("x>1,y<5", "x>1,y<5"),
        ("example.com/x notin (a)", "example.com/x notin (a)"),
        ("\tx\n=\r a", "x=a"),
    ],
)
def test_what_is_read_is_written(text: str, written: str) -> None:
    selector = parse_labels(text)
    assert str(selector) == written
    assert parse_labels(written) == selector


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("x,", "found '', expected: identifier after ','"),
        ("x,,y", "found ',', expected: identifier after ','"),
        ("x=a||y=b", 'unable to parse requirement: values[0][x]: Invalid value: "a||y": ' + LABEL_VALUE_RULE),
        ("x==a==b", "found '==', expected: ',' or 'end of string'"),
        ("!x=a", "found '=', expected: ',' or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("x in a", "unable to parse requirement: found 'a' expected: '('"),
        ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("x in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'"),
        ("x in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("x in (a))", "found ')', expected: ',' or 'end of string'"),
        ("x=!", "unable to parse requirement: found '!', expected: identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("x>a", "for 'Gt', 'Lt' operators, the value must be an integer"),
        ("x<9223372036854775808", "for 'Gt', 'Lt' operators, the value must be an integer"),
        ("x>", "for 'Gt', 'Lt' operators, the value must be an integer"),
        ("x$=a", 'unable to parse requirement: <nil>: Invalid value: "x$": name part must consist of'),
        ("x=a$", f'unable to parse requirement: values[0][x]: Invalid value: "a$": {LABEL_VALUE_RULE}'),
        ("x=" + "a" * 64, "must be no more than 63 characters"),
        ("x=a\x00", LABEL_VALUE_RULE),
        ("x in (" + "a" * 5_000 + ")", 'aaa...": must be no more than 63 characters'),
        ("$" * 5_000, '$$$...": name part must be no more than 63 characters'),
        ("a " + "b" * 5_000, "found 'bbb"),
        ("a=b," * 20_000, "a selector must be no more than 65536 characters"),
        (",".join(f"a{index}" for index in range(257)), "a selector must have no more than 256 requirements"),
    ],
)
def test_what_is_no_label_selector(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_labels(text)
    assert message in str(raised.value)
    assert len(str(raised.value)) < 1_000


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("other!=web", True),
        ("other=", False),
        ("empty=", True),
        ("app", True),
        ("other", False),
        ("!other", True),
        ("!app", False),
        ("app in (db,web)", True),
        ("app in (db)", False),
        ("other in ()", False),
        ("app notin (db)", True),
        ("app notin (db,web)", False),
        ("other notin (db)", True),
        ("weight>9", True),
        ("weight>10", False),
        ("weight<11", True),
        ("app>1", False),
        ("other<1", False),
        ("app=web,tier=back", False),
        (f"tier in ({','.join(f'v{n}' for n in range(1000))},front)", True),
        (f"tier in ({','.join(f'v{n}' for n in range(1000))})", False),
    ],
)
def test_matching(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(WEB) is matches


def test_no_selector_is_nothing_and_an_empty_one_everything() -> None:
    assert from_label_selector(None) is NOTHING
    assert from_label_selector(LabelSelector()) is EVERYTHING
    assert not NOTHING.matches({})
    assert not NOTHING.everything
    assert EVERYTHING.matches({})
    assert EVERYTHING.everything


def expression(key: str, operator: str, *values: str) -> LabelSelector:
    return LabelSelector(match_expressions=[LabelSelectorRequirement(key=key, operator=operator, values=list(values))])


def test_the_selector_of_an_object() -> None:
    selector = LabelSelector(
        match_labels={"tier": "front", "app": "web"},
        match_expressions=[
            LabelSelectorRequirement(key="weight", operator="In", values=["20", "10"]),
            LabelSelectorRequirement(key="app", operator="Exists"),
            LabelSelectorRequirement(key="gone", operator="DoesNotExist"),
            LabelSelectorRequirement(key="x", operator="NotIn", values=["1"]),
        ],
    )
    assert str(from_label_selector(selector)) == "app=web,app,!gone,tier=front,weight in (10,20),x notin (1)"
    assert from_label_selector(selector).matches(WEB)


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (expression("a", "in", "b"), '"in" is not a valid label selector operator'),
        (expression("a", "In"), "for 'in', 'notin' operators, values set can't be empty"),
        (expression("a", "Exists", "b"), "values set must be empty for exists and does not exist"),
        (expression("$", "Exists"), 'key: Invalid value: "$": name part must consist of'),
        (LabelSelector(match_labels={"a": "$"}), 'values[0][a]: Invalid value: "$": '),
    ],
)
def test_what_is_no_selector_of_an_object(selector: LabelSelector, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        from_label_selector(selector)
    assert message in str(raised.value)


def test_the_selector_of_a_service_is_not_checked() -> None:
    selector = selectors.from_labels({"b": "2", "a": "1"})
    assert str(selector) == "a=1,b=2"
    assert selector.matches({"a": "1", "b": "2", "c": "3"})


keys = st.from_regex(r"([a-z]{1,5}\.[a-z]{1,5}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,10}[A-Za-z0-9])?", fullmatch=True)
values = st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,10}[A-Za-z0-9])?)?", fullmatch=True)
integers = st.integers(0, 2**63 - 1).map(str)
requirements = st.one_of(
    st.builds(Requirement, keys, st.sampled_from(("=", "==", "!=")), st.tuples(values)),
    st.builds(
        Requirement,
        keys,
        st.sampled_from(("in", "notin")),
        st.lists(values, min_size=1, max_size=12).map(lambda each: tuple(sorted(set(each)))),
    ),
    st.builds(Requirement, keys, st.sampled_from(("exists", "!"))),
    st.builds(Requirement, keys, st.sampled_from(("gt", "lt")), st.tuples(integers)),
)


@given(st.lists(requirements, max_size=6))
def test_label_selectors_survive_writing_and_reading(given_requirements: list[Requirement]) -> None:
    selector = selectors.Labels(tuple(sorted(given_requirements, key=lambda each: each.key)))
    assert parse_labels(str(selector)) == selector


@given(st.text(alphabet="abin (),=!<>\t0.-", max_size=40))
def test_any_text_is_a_label_selector_or_refused(text: str) -> None:
    try:
        selector = parse_labels(text)
    except ValueError:
        return
    assert parse_labels(str(selector)) == selector


# --- fields -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        (",,", ""),
        ("spec.nodeName=n1", "spec.nodeName=n1"),
        ("b==2,a!=1", "a!=1,b=2"),
        ("a=", "a="),
        (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
        ("a=b!c", "a=b!c"),
    ],
)
def test_field_selectors(text: str, written: str) -> None:
    assert str(parse_fields(text)) == written
    assert parse_fields(written) == parse_fields(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("a=b," * 20_000, "a selector must be no more than 65536 characters"),
        ("a=b," * 300, "a selector must have no more than 256 requirements"),
    ],
)
def test_what_is_no_field_selector(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_fields(text)
    assert str(raised.value) == message


def test_matching_fields() -> None:
    pod = {"spec.nodeName": "n1", "status.phase": "Running"}

    def get(field: str) -> str:
        return pod.get(field, "")

    assert parse_fields("").matches(get)
    assert parse_fields("").everything
    assert parse_fields("spec.nodeName=n1,status.phase!=Failed").matches(get)
    assert not parse_fields("spec.nodeName=n2").matches(get)
    assert not parse_fields("spec.nodeName!=n1").matches(get)
    assert parse_fields("spec.other=").matches(get)
    assert parse_fields("a!=1,b=2").exact("b") == "2"
    assert parse_fields("a!=1,b=2").exact("a") is None


@given(
    st.lists(
        st.builds(
            selectors.FieldRequirement,
            st.from_regex(r"[a-z]+(\.[a-zA-Z]+)*", fullmatch=True),
            st.sampled_from(("=", "!=")),
            st.text(max_size=10),
        ),
        max_size=5,
    )
)
def test_field_selectors_survive_writing_and_reading(requirements: list[selectors.FieldRequirement]) -> None:
    text = str(selectors.Fields(tuple(requirements)))
    again = parse_fields(text)
    assert sorted(map(str, again.requirements)) == sorted(map(str, requirements))
    assert {(each.key, each.operator, each.value) for each in again.requirements} == {
        (each.key, each.operator, each.value) for each in requirements
    }
