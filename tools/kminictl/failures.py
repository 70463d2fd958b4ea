"""What a command can fail with, in kubectl's words, and the exit code that goes with it.

    CommandError     a message as it is to be printed; `code` is the exit code
    +-- Silent       everything has been said already; only the code is left

`told` words any error a verb may meet. Errors of several objects are told one a line.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.api.errors import ApiError, Invalid, Unauthorized

EXIT_ERROR = 1


class CommandError(Exception):
    def __init__(self, message: str, code: int = EXIT_ERROR, *, prefix: bool = True) -> None:
        """`prefix` puts `error: ` before the message."""
        super().__init__(message)
        self.message = f"error: {message}" if prefix else message
        self.code = code


class Silent(CommandError):
    def __init__(self, code: int = EXIT_ERROR) -> None:
        super().__init__("", code, prefix=False)


class Several(CommandError):
    """The errors of several objects."""

    def __init__(self, errors: Iterable[Exception], *, once: bool = False) -> None:
        """`once`: what several have in common is told once."""
        lines = [told(error) for error in errors]
        if once:
            lines = list(dict.fromkeys(lines))
        super().__init__("\n".join(lines), prefix=False)


def told(error: Exception) -> str:
    """The line, or lines, of an error."""
    if isinstance(error, CommandError):
        return error.message
    if isinstance(error, ApiError):
        return _told_by_server(error)
    return f"error: {error or type(error).__name__}"


def _told_by_server(error: ApiError) -> str:
    from apiserver.client.errors import Unanswered, Unreachable

    if (
        isinstance(error, Unreachable) and "Connection refused" in error.message
    ) or "Connect call failed" in error.message:
        address = error.message.partition("://")[2].partition(": ")[0]
        return f"The connection to the server {address} was refused - did you specify the right host or port?"
    if isinstance(error, Unreachable | Unanswered):
        return f"Unable to connect to the server: {error.message}"
    if isinstance(error, Unauthorized):
        return f"error: You must be logged in to the server ({error.message})"
    if isinstance(error, Invalid):
        return _invalid(error)
    reason = f" ({error.status_reason})" if error.status_reason else ""
    return f"Error from server{reason}: {error.message}"


def _invalid(error: Invalid) -> str:
    named = error.details.kind and error.details.name
    begin = f'The {error.details.kind} "{error.details.name}" is invalid' if named else "The request is invalid"
    causes = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in error.causes]
    causes = list(dict.fromkeys(causes))
    if not causes:
        return f"{begin}: {error.message}"
    if len(causes) == 1:
        return f"{begin}: {causes[0]}"
    return "\n".join([f"{begin}: ", *(f"* {cause}" for cause in causes)])


def about(error: ApiError, doing: str) -> ApiError:
    """The same with what was tried before its message: `error when creating "web.yaml": ...`."""
    error.message = f"{doing}: {error.message}"
    return error
