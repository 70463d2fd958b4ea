"""Flags as every command has them: flag > environment > configuration file > default.

`option("--data-dir")` is click's option with the environment variable `KMINI_DATA_DIR` and a place under
the key `data-dir` in `--config FILE`. `command()` adds what each command takes: `--config`, `--debug`
and `-h`. A key in the file that no command knows is refused by name, so a misspelt one is never silent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

DEFAULT_DATA_DIR = Path("/var/lib/kmini")
Function = TypeVar("Function", bound=Callable[..., Any])


class Invocation:
    """What the outermost error handler must know of the command that ran."""

    def __init__(self) -> None:
        self.debug = False


def environment_name(flag: str) -> str:
    return "KMINI_" + flag.lstrip("-").replace("-", "_").upper()


def option(flag: str, *extra: str, **settings: Any) -> Callable[[Function], Function]:
    """A flag that can also come from the environment and the configuration file."""
    long_name = flag.split("/")[0]
    settings.setdefault("show_default", settings.get("default") is not None)
    return click.option(flag, *extra, envvar=environment_name(long_name), show_envvar=True, **settings)


def data_dir_option(function: Function) -> Function:
    return option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_DATA_DIR,
        help="Where this replica keeps its files.",
    )(function)


def output_option(function: Function) -> Function:
    return click.option(
        "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print.", show_default=True
    )(function)


def log_format_option(function: Function) -> Function:
    return option(
        "--log-format", type=click.Choice(["json", "text"]), default="json", help="Logs on stderr, one line each."
    )(function)


def _debug_callback(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().ensure_object(Invocation).debug = True


def _config_callback(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.default_map = load_config(path, known_keys(context.find_root().command, context), parameter)


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """click.command with the options every command has."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        function = click.option(
            "--debug",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_debug_callback,
            envvar="KMINI_DEBUG",
            help="Show tracebacks.",
        )(function)
        function = click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=_config_callback,
            envvar="KMINI_CONFIG",
            help="YAML file with flags as keys; flags and KMINI_* variables win over it.",
        )(function)
        settings.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        made: click.Command = click.command(name, cls=click.Command, **settings)(function)
        return made

    return decorate


# --- the configuration file -------------------------------------------------------------------------


def known_keys(root: click.Command, context: click.Context) -> frozenset[str]:
    """Every long flag of every command, without dashes in front."""
    keys: set[str] = set()
    for parameter in root.params:
        keys.update(name.lstrip("-") for name in parameter.opts if name.startswith("--"))
    if isinstance(root, click.Group):
        for name in root.list_commands(context):
            child = root.get_command(context, name)
            if child is not None:
                keys |= known_keys(child, context)
    return frozenset(keys - {"config", "debug", "help", "output"})


def load_config(path: Path, known: frozenset[str], parameter: click.Parameter | None = None) -> dict[str, Any]:
    """The file as click's default map. Raises click.BadParameter naming the key and the rule."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise click.BadParameter(f"{path}: {reason}", param=parameter) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise click.BadParameter(f"{path}: must be a mapping of flags to values", param=parameter)
    values: dict[str, Any] = {}
    for key, value in content.items():
        flag = str(key).replace("_", "-")
        if flag not in known:
            raise click.BadParameter(f"{path}: unknown key {key!r}", param=parameter)
        if not _is_plain(value):
            raise click.BadParameter(f"{path}: {key} must be a value or a list of values", param=parameter)
        values[flag.replace("-", "_")] = value
    return values


def _is_plain(value: object) -> bool:
    scalars = (str, int, float, bool)
    return isinstance(value, scalars) or (isinstance(value, list) and all(isinstance(item, scalars) for item in value))
