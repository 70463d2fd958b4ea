"""Rules for small texts and numbers that many fields share."""

from __future__ import annotations

from collections.abc import Collection

from apiserver.api.fields import Causes
from apiserver.api.names import NameRule, not_in_range
from apiserver.api.validation import check

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than zero"
_MODE_RULE = "must be a number between 0 and 0777 (octal), both inclusive"


def required(causes: Causes, path: str, value: object) -> bool:
    """True when there is one."""
    if not value:
        causes.required(path)
        return False
    return True


def named(rule: NameRule, value: str, causes: Causes, path: str) -> None:
    """There must be a value, and it must be as `rule` wants it."""
    if required(causes, path, value):
        check(rule, value, causes, path)


def one_of(causes: Causes, path: str, value: str, allowed: Collection[str]) -> None:
    """There must be a value, one of `allowed`."""
    if required(causes, path, value) and value not in allowed:
        causes.not_supported(path, value, allowed)


def one_of_or_absent(causes: Causes, path: str, value: str | None, allowed: Collection[str]) -> None:
    if value is not None and value not in allowed:
        causes.not_supported(path, value, allowed)


def not_negative(causes: Causes, path: str, number: int) -> None:
    if number < 0:
        causes.invalid(path, number, NOT_NEGATIVE)


def in_range(causes: Causes, path: str, number: int, *, low: int, high: int) -> None:
    if not low <= number <= high:
        causes.invalid(path, number, not_in_range(low, high))


def file_mode(causes: Causes, path: str, mode: int | None) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        causes.invalid(path, mode, _MODE_RULE)


def leads_back(text: str) -> bool:
    return ".." in text.split("/")


def without_steps_back(causes: Causes, path: str, text: str) -> None:
    if leads_back(text):
        causes.invalid(path, text, "must not contain '..'")


def descending(causes: Causes, path: str, text: str) -> None:
    """A path that stays below where it starts."""
    if text.startswith("/"):
        causes.invalid(path, text, "must be a relative path")
    without_steps_back(causes, path, text)


def descending_unreserved(causes: Causes, path: str, text: str) -> None:
    """The same, and it must not look like the entries a volume keeps for itself."""
    descending(causes, path, text)
    if text.startswith("..") and not text.startswith("../") and text != "..":
        causes.invalid(path, text, "must not start with '..'")
