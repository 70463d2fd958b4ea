"""What all verbs share: kubectl's way of writing options, the options every verb takes, and how a verb ends.

kubectl's flags differ from click's in small ways, which are put right before click sees the words: `-o=json`,
`--wait=false` of a switch, and options whose value may be left out (`--dry-run`). Where `--` stood is remembered.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import click
from click.exceptions import NoArgsIsHelpError

F = TypeVar("F", bound=Callable[..., Any])
_AFTER_DASH = "kminictl.after_dash"
_SHORT = re.compile(r"-[A-Za-z]=.*", re.DOTALL)
_TRUTHS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


class Switch(click.Option):
    """A flag that may also be written `--name=true` and `--name=false`."""

    @property
    def negation(self) -> str:
        return f"--no-{self.name}-switch"


class Loose(click.Option):
    """An option whose value may be left out; `bare` is it then."""

    def __init__(self, *args: Any, bare: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.bare = bare


def switch(*names: str, default: bool = False, help: str = "", hidden: bool = False) -> Callable[[F], F]:
    return click.option(*names, cls=Switch, is_flag=True, default=default, help=help, hidden=hidden)


def loose(*names: str, bare: str, default: str, help: str = "") -> Callable[[F], F]:
    return click.option(*names, cls=Loose, bare=bare, default=default, help=help)


class _Words:
    """The command's words in click's way of writing."""

    def __init__(self, params: list[click.Parameter]) -> None:
        options = [each for each in params if isinstance(each, click.Option)]
        self._by_name = {name: each for each in options for name in each.opts}

    def rewritten(self, words: list[str]) -> tuple[list[str], int | None, dict[str, bool]]:
        """The words, how many follow a `--`, and switches that were given a value."""
        out: list[str] = []
        set_to: dict[str, bool] = {}
        for index, word in enumerate(words):
            if word == "--":
                return [*out, *words[index:]], len(words) - index - 1, set_to
            out += self._one(word, set_to)
        return out, None, set_to

    def _one(self, word: str, set_to: dict[str, bool]) -> list[str]:
        if _SHORT.fullmatch(word):
            name, _, value = word.partition("=")
            option = self._by_name.get(name)
            if isinstance(option, Switch):
                return self._set(option, name, value, set_to)
            return [name, value]
        name, equals, value = word.partition("=")
        option = self._by_name.get(name)
        if equals and isinstance(option, Switch):
            return self._set(option, name, value, set_to)
        if not equals and isinstance(option, Loose) and name.startswith("--"):
            return [f"{name}={option.bare}"]
        return [word]

    def _set(self, option: Switch, name: str, value: str, set_to: dict[str, bool]) -> list[str]:
        truth = _TRUTHS.get(value.lower())
        if truth is None:
            raise click.UsageError(
                f'invalid argument "{value}" for "{name}" flag: strconv.ParseBool: parsing "{value}": invalid syntax'
            )
        assert option.name is not None
        set_to[option.name] = truth
        return []


class Verb(click.Command):
    """A command with the options every verb takes. `missing` is what is said when arguments are."""

    def __init__(self, *args: Any, missing: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.missing = missing
        self.params += _global_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            words, after_dash, set_to = _Words(self.params).rewritten(args)
            ctx.meta[_AFTER_DASH] = after_dash
            rest = super().parse_args(ctx, words)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        ctx.params.update({name: value for name, value in set_to.items() if name in ctx.params})
        return rest


class Verbs(click.Group):
    """Verbs below a verb: `rollout status`."""

    command_class = Verb

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _global_options()


def after_dash() -> int | None:
    """How many of the arguments stood after `--`; None without one."""
    return cast("int | None", click.get_current_context().meta.get(_AFTER_DASH))


# --- the options of every verb --------------------------------------------------------------------


def _keep(field: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        from .cluster.session import Options

        options = ctx.ensure_object(Options)
        if value:
            setattr(options, field, tuple(value) if isinstance(value, list | tuple) else value)

    return callback


_GLOBALS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("-n", "--namespace"), "namespace", "Namespace; that of the context when left out."),
    (("--kubeconfig",), "kubeconfig", "File that says where the cluster is."),
    (("--context",), "context", "Context of the kubeconfig."),
    (("--cluster",), "cluster", "Cluster of the kubeconfig, instead of the context's."),
    (("--user",), "user", "User of the kubeconfig, instead of the context's."),
    (("-s", "--server"), "server", "Address of the API server."),
    (("--token",), "token", "Bearer token."),
    (("--as",), "as_user", "User to act as."),
    (("--certificate-authority",), "certificate_authority", "File with the certificates to trust."),
    (("--client-certificate",), "client_certificate", "File with a client certificate."),
    (("--client-key",), "client_key", "File with its key."),
    (("--tls-server-name",), "tls_server_name", "Name the server's certificate must have."),
    (("--request-timeout",), "request_timeout", "Longest time of one request: 5s, 1m; 0 is the usual."),
)
_ALWAYS_SHOWN = ("namespace", "context", "kubeconfig")


def _global_options() -> list[click.Parameter]:
    made: list[click.Parameter] = [
        click.Option(
            (*names, f"global_{field}"),
            expose_value=False,
            callback=_keep(field),
            help=help,
            hidden=field not in _ALWAYS_SHOWN,
        )
        for names, field, help in _GLOBALS
    ]
    made.append(
        click.Option(
            ("--as-group", "global_as_groups"),
            multiple=True,
            expose_value=False,
            callback=_keep("as_groups"),
            hidden=True,
        )
    )
    made.append(
        Switch(
            ("--insecure-skip-tls-verify", "global_insecure"),
            is_flag=True,
            expose_value=False,
            callback=_keep("insecure"),
            hidden=True,
        )
    )
    return made


# --- running ----------------------------------------------------------------------------------------


def verb(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """An async function of a session and the verb's own parameters, as what click calls."""
    import functools

    @functools.wraps(function)
    def run(*args: Any, **settings: Any) -> None:
        import asyncio

        from .cluster.session import Options, opened

        options = click.get_current_context().ensure_object(Options)

        async def ask() -> None:
            async with opened(options) as session:
                await function(session, *args, **settings)

        asyncio.run(ask())

    return run


def ending(run: Callable[[], Any]) -> int:
    """The exit code of a command; what went wrong is one clear word on standard error."""
    try:
        run()
    except click.ClickException as error:
        _flush()
        sys.stderr.write(f"{_usage(error)}\n")
        return 1
    except (KeyboardInterrupt, click.Abort):
        return 130
    except click.exceptions.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        _close_pipe()
        return 1
    except BaseExceptionGroup as group:
        return _failed(_first(group))
    except Exception as error:
        return _failed(error)
    return 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of tasks that failed together, the error that is told."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _failed(error: BaseException) -> int:
    from apiserver.api.errors import ApiError

    from .failures import EXIT_ERROR, CommandError, told
    from .output.printable import printable

    if isinstance(error, BrokenPipeError):
        _close_pipe()
        return EXIT_ERROR
    if not isinstance(error, CommandError | ApiError | OSError | ValueError):
        raise error
    _flush()
    message = printable(told(error))
    if message:
        sys.stderr.write(f"{message}\n")
    return error.code if isinstance(error, CommandError) else EXIT_ERROR


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _close_pipe()


def _close_pipe() -> None:
    """Whoever read the output is gone: nothing more is written, and Python's own farewell must not try either."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _missing(error: click.MissingParameter, path: str) -> str:
    help_ = f"\nSee '{path} -h' for help and examples"
    own = getattr(error.ctx.command, "missing", "") if error.ctx is not None else ""
    if own:
        return f"error: {own}{help_}"
    if isinstance(error.param, click.Option):
        return f'error: required flag(s) "{error.param.opts[-1].lstrip("-")}" not set'
    name = error.param.human_readable_name if error.param is not None else ""
    if name == "NAME":
        return f"error: exactly one NAME is required, got 0{help_}"
    return f"error: {name} is required{help_}"


def _usage(error: click.ClickException) -> str:
    """click's complaints in kubectl's words."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "kminictl"
    if isinstance(error, NoArgsIsHelpError):
        return error.format_message()
    if isinstance(error, click.MissingParameter):
        return _missing(error, path)
    if isinstance(error, click.NoSuchOption):
        what = f"unknown flag: {error.option_name}"
        if not error.option_name.startswith("--"):
            letter = error.option_name.lstrip("-")[:1]
            what = f"unknown shorthand flag: '{letter}' in {error.option_name}"
        return f"error: {what}\nSee '{path} --help' for usage."
    if isinstance(error, click.BadOptionUsage) and "requires an argument" in error.message:
        name = error.option_name
        shown = name if name.startswith("--") else f"'{name[1:]}' in {name}"
        return f"error: flag needs an argument: {shown}\nSee '{path} --help' for usage."
    message = error.format_message()
    if message.startswith("No such command"):
        name = message.split("'")[1]
        return f'error: unknown command "{name}" for "{path}"'
    return f"error: {message}"
