"""`-o`: how whole objects are printed. Tables are tables.py's.

A printer takes one object at a time and gives back text; what it holds back until all have come, `finish` gives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from ..failures import CommandError

FORMATS = (
    "custom-columns",
    "custom-columns-file",
    "json",
    "jsonpath",
    "jsonpath-as-json",
    "jsonpath-file",
    "name",
    "wide",
    "yaml",
)
_FILE_BYTES_MAX = 1 << 20


class Printer(Protocol):
    def printed(self, obj: dict[str, Any]) -> str: ...

    def finish(self) -> str: ...


class _Immediate:
    def finish(self) -> str:
        return ""


class JsonPrinter(_Immediate):
    def printed(self, obj: dict[str, Any]) -> str:
        from . import gojson

        return f"{gojson.indented(obj)}\n"


class YamlPrinter(_Immediate):
    def __init__(self) -> None:
        self._begun = False

    def printed(self, obj: dict[str, Any]) -> str:
        from . import goyaml

        separator = "---\n" if self._begun else ""
        self._begun = True
        return separator + goyaml.dump(obj)


class NamePrinter(_Immediate):
    """`operation` is what was done, `created`; empty for the name alone."""

    def __init__(self, operation: str = "") -> None:
        self._after = f" {operation}" if operation else ""

    def printed(self, obj: dict[str, Any]) -> str:
        if obj.get("kind", "").endswith("List") and "items" in obj:
            return "".join(self.printed(item) for item in obj["items"])
        return f"{name_of(obj)}{self._after}\n"


class JsonPathPrinter(_Immediate):
    def __init__(self, template: str, *, as_json: bool = False) -> None:
        from .jsonpath import JsonPath

        self._template = template
        self._as_json = as_json
        try:
            self._path = JsonPath(template)
        except ValueError as error:
            raise CommandError(f"error parsing jsonpath {template}, {error}") from None

    def printed(self, obj: dict[str, Any]) -> str:
        try:
            if self._as_json:
                found = [value for results in self._path.values(obj) for value in results]
                return json.dumps(found, indent=4, sort_keys=True, ensure_ascii=False) + "\n"
            return self._path.text(obj)
        except ValueError as error:
            raise CommandError(
                f'error executing jsonpath "{self._template}": Error executing template: {error}.'
            ) from None


class CustomColumnsPrinter:
    def __init__(self, columns: list[tuple[str, str]], *, headers: bool) -> None:
        from .custom_columns import CustomColumns

        self._columns = CustomColumns(columns, headers=headers)

    def printed(self, obj: dict[str, Any]) -> str:
        for each in obj["items"] if obj.get("kind", "").endswith("List") and "items" in obj else [obj]:
            self._columns.add(each)
        return ""

    def finish(self) -> str:
        return self._columns.flush()


def name_of(obj: dict[str, Any]) -> str:
    """`deployment.apps/web`."""
    group, slash, _ = str(obj.get("apiVersion", "")).partition("/")
    kind = str(obj.get("kind", "")).lower() or "<unknown>"
    name = (obj.get("metadata") or {}).get("name", "")
    return f"{kind}.{group}/{name}" if slash else f"{kind}/{name}"


def is_human(output: str) -> bool:
    """For people: the server's table."""
    return output in ("", "wide")


def printer_of(output: str, *, headers: bool = True, operation: str = "") -> Printer:
    """What `-o` asks for; without it, names with what was done. Raises CommandError for a format there is not."""
    form, _, argument = output.partition("=")
    match form:
        case "json":
            return JsonPrinter()
        case "yaml":
            return YamlPrinter()
        case "name":
            return NamePrinter()
        case "" | "wide":
            return NamePrinter(operation)
        case "jsonpath" | "jsonpath-as-json" | "jsonpath-file":
            return _jsonpath(form, argument)
        case "custom-columns" | "custom-columns-file":
            return _custom_columns(form, argument, headers=headers)
    allowed = ",".join(FORMATS)
    raise CommandError(
        f'unable to match a printer suitable for the output format "{form}", allowed formats are: {allowed}'
    )


def _jsonpath(form: str, argument: str) -> Printer:
    if not argument:
        raise CommandError("template format specified but no template given")
    template = _file(argument) if form == "jsonpath-file" else argument
    return JsonPathPrinter(template, as_json=form == "jsonpath-as-json")


def _custom_columns(form: str, argument: str, *, headers: bool) -> Printer:
    from .custom_columns import from_spec, from_template

    if not argument:
        raise CommandError(f"{form} format specified but no {form} given")
    try:
        columns = from_template(_file(argument)) if form == "custom-columns-file" else from_spec(argument)
        return CustomColumnsPrinter(columns, headers=headers)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _file(name: str) -> str:
    try:
        with Path(name).open(encoding="utf-8") as file:
            return file.read(_FILE_BYTES_MAX)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"error reading --template {name}, {getattr(error, 'strerror', '') or error}") from None


def without_managed_fields(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
    return obj
