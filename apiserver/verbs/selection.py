"""Which objects of a kind a request means: label selector, field selector and name, as one thing."""

from __future__ import annotations

from collections.abc import Callable

from apiserver.api.errors import BadRequest
from apiserver.api.selectors import Fields, Labels, parse_fields, parse_labels
from apiserver.feed.change import Facts
from apiserver.registry.resource import Resource


class Selection:
    """`name` and `namespace` are what the field selector pins them to ("" when it does not); a second, other wish for
    one of them is never met. Rights to a single object go by the first (auth/authorizer.py): no other may be shown.

    `matches` looks at an object's facts; None when every object (of that name) matches.
    """

    __slots__ = ("excluded_names", "matches", "name", "namespace")

    def __init__(self, resource: Resource, labels: str, fields: str) -> None:
        """Raises BadRequest for a selector that does not parse or a field that cannot be selected by."""
        try:
            by_label = parse_labels(labels) if labels else None
            by_field = parse_fields(fields) if fields else None
        except ValueError as error:
            raise BadRequest(str(error)) from None
        self.name = ""
        self.namespace = ""
        self.excluded_names: set[tuple[str, str]] = set()
        tests = [*self._label_tests(by_label), *self._field_tests(resource, by_field)]
        self.matches: Callable[[Facts], bool] | None = None
        if len(tests) == 1:
            self.matches = tests[0]
        elif tests:
            self.matches = lambda facts: all(test(facts) for test in tests)

    @staticmethod
    def _label_tests(labels: Labels | None) -> list[Callable[[Facts], bool]]:
        return [] if labels is None or labels.everything else [lambda facts: labels.matches(facts.labels)]

    def _field_tests(self, resource: Resource, fields: Fields | None) -> list[Callable[[Facts], bool]]:
        if fields is None:
            return []
        places = {name: place for place, name in enumerate(resource.selectable)}
        tests: list[Callable[[Facts], bool]] = []
        for requirement in fields.requirements:
            field, value = requirement.key, requirement.value
            equal = requirement.operator != "!="
            if field in ("metadata.name", "metadata.namespace"):
                if equal:
                    tests += self._pin(field.partition(".")[2], value)
                else:
                    self.excluded_names.add((field, value))
            elif field in places:
                tests.append(_field_test(places[field], value, equal=equal))
            else:
                raise _unknown_field(resource, field)
        return tests

    def _pin(self, attribute: str, value: str) -> list[Callable[[Facts], bool]]:
        if not getattr(self, attribute):
            setattr(self, attribute, value)
        return [] if value and value == getattr(self, attribute) else [lambda facts: False]

    def wants(self, namespace: str, name: str) -> bool:
        """Whether an object of this name can match at all."""
        if (self.name and name != self.name) or (self.namespace and namespace != self.namespace):
            return False
        return not self.excluded_names or not (
            ("metadata.name", name) in self.excluded_names or ("metadata.namespace", namespace) in self.excluded_names
        )

    @property
    def by_place(self) -> bool:
        """Whether names are looked at."""
        return bool(self.name or self.namespace or self.excluded_names)


def _unknown_field(resource: Resource, field: str) -> BadRequest:
    if resource.selectable:
        return BadRequest(f"field label not supported: {field}")
    return BadRequest(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _field_test(place: int, value: str, *, equal: bool) -> Callable[[Facts], bool]:
    if equal:
        return lambda facts: facts.fields[place] == value
    return lambda facts: facts.fields[place] != value
