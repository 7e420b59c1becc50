"""Command lines: one documented dataclass per script, parsed by jsonargparse.

A YAML file given with ``--config`` is a short difference from the dataclass defaults; later options win.
A switch needs no value: ``--overwrite`` alone means ``--overwrite true``.
A field with ``field(metadata=POSITIONAL)``, a list of words, takes the words that belong to no option.
Unknown keys and wrong types are errors of one line and exit code 2.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, TypeVar, get_args

import docstring_parser
import yaml
from docstring_parser import DocstringParam
from jsonargparse import (
    ArgumentError,
    ArgumentParser,
    DefaultHelpFormatter,
    Namespace,
    get_loader,
    set_loader,
    set_parsing_settings,
)

from mnad.run import UserError, one_line
from mnad.run.old_keys import modern_argument, modernise
from mnad.run.streams import plain_streams, printable

Config = TypeVar("Config")
MOST_NODES = 100_000  # values in a configuration file, counted with what aliases repeat
POSITIONAL = {"positional": True}  # metadata of the one field that takes words without an option
VALUES = ("true", "false")
WITHOUT_VALUE = ("--help", "--print_config")


def load_yaml(text: str) -> object:
    """YAML of a configuration file or of a value, with today's words.

    Raises:
        UserError: aliases that make more of it than any configuration needs, or that lead in a circle.
        yaml.YAMLError: no YAML, nested without measure, or a number of more digits than Python reads.
    """
    try:
        value = get_loader("yaml")(text)
    except (RecursionError, ValueError) as error:
        raise yaml.YAMLError(str(error)) from error
    left = [value]
    for _ in range(MOST_NODES):
        if not left:
            return modernise(value)
        node = left.pop()
        left += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    raise UserError(f"configuration: more than {MOST_NODES} values, counted with its aliases; expected fewer")


# A value may name a class of ours, as the library does with the items of a list; nothing else is ever imported.
set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=["mnad", "baselines"])
set_loader("mnad", load_yaml, exceptions=(yaml.YAMLError,))


class HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the line breaks of a script's description and shows each option's type and default."""


def build_parser(config_class: type, description: str | None = None) -> ArgumentParser:
    """Parser with one option per field of ``config_class`` (nested dataclasses as ``--group.field``)."""
    parser = ArgumentParser(
        description=description,
        exit_on_error=False,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
        parser_mode="mnad",
    )
    parser.add_argument("--config", action="config", help="YAML file of differences from the defaults")
    words = positional(config_class)
    parser.add_class_arguments(config_class, fail_untyped=False, skip=set(words))
    for name in words:
        parser.add_argument(name, nargs="*", type=str, metavar=name.upper())
    inherited = {arg.arg_name: arg.description for base in config_class.__mro__ for arg in documented(base)}
    for action in parser._actions:
        action.help = action.help or inherited.get(action.dest)
    return parser


def positional(config_class: type) -> list[str]:
    """Name of the field that takes the words without an option; empty if there is none."""
    return [field.name for field in fields(config_class) if field.metadata.get("positional")]


def documented(config_class: type) -> list[DocstringParam]:
    """Arguments in the docstring of ``config_class``; jsonargparse does not look at those of its bases."""
    return docstring_parser.parse(config_class.__doc__ or "").params


def give_switches_values(parser: ArgumentParser, argv: Sequence[str], words: bool = False) -> list[str]:
    """``argv`` with ``=true`` added to switches (options whose default is a bool) that stand alone.

    Args:
        words: whether there are positional words; then only true and false after a switch are its value.
    """
    switches = {f"--{key}" for key, value in parser.get_defaults().items() if isinstance(value, bool)}
    return [
        f"{word}=true" if word in switches and (after.startswith("-") or (words and after not in VALUES)) else word
        for word, after in zip_longest(argv, argv[1:], fillvalue="-")
    ]


def words_last(argv: Sequence[str]) -> list[str]:
    """``argv`` with the words that belong to no option after a ``--``; argparse takes them from one place only."""
    options, words, rest = [], [], list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if word == "-" or not word.startswith("-"):
            words.append(word)
            continue
        options.append(word)
        if word.startswith("--") and "=" not in word and word not in WITHOUT_VALUE and rest:
            options.append(rest.pop(0))
    return [*options, "--", *words] if words else options


def underscored(word: str) -> str:
    """``--skip-bad=true`` as ``--skip_bad=true``: no option has a hyphen."""
    name, equals, value = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else word


def check_groups(namespace: Namespace, config_class: type, prefix: str = "") -> None:
    """Raises ``UserError`` for a group of options that is given as anything but a mapping (``model: [1]``), and for a
    null where the option takes none: the parser lets it through."""
    for field in fields(config_class):
        key, value = f"{prefix}{field.name}", namespace.get(field.name)
        if isinstance(field.type, type) and is_dataclass(field.type):
            if not isinstance(value, Namespace):
                raise UserError(f"{key}: expected options of its own, such as {key}: {{...}}, got {value!r}")
            check_groups(value, field.type, f"{key}.")
        elif value is None and field.type is not Any and type(None) not in get_args(field.type):
            raise UserError(f"{key}: expected a value, got null")


def configuration_files(argv: Sequence[str]) -> str:
    """The files that ``argv`` names with ``--config``, for messages."""
    alone = [after for word, after in pairwise(argv) if word == "--config"]
    joined = [word.removeprefix("--config=") for word in argv if word.startswith("--config=")]
    return ", ".join([*alone, *joined]) or "configuration"


def users_error(error: BaseException) -> UserError:
    """What a dataclass inside others has refused, without what jsonargparse says around it."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, UserError):
        found = found.__cause__ or found.__context__
    return found if isinstance(found, UserError) else UserError(one_line(error))


def parse(config_class: type[Config], argv: Sequence[str] | None = None, description: str | None = None) -> Config:
    """Fill ``config_class`` from ``argv``.

    Raises:
        UserError: unknown option or key, a value of the wrong type, or a file that is no YAML in UTF-8.
    """
    parser = build_parser(config_class, description)
    words = [underscored(modern_argument(word)) for word in (sys.argv[1:] if argv is None else argv)]
    takes_words = bool(positional(config_class))
    words = give_switches_values(parser, words, takes_words)
    try:
        namespace = parser.parse_args(words_last(words) if takes_words else words)
    except ArgumentError as error:
        message = one_line(error)
        unread = message.startswith(("Problems parsing config", "Unexpected config"))
        raise UserError(f"{configuration_files(words)}: {message}" if unread else message) from error
    except ImportError as error:  # of a class that is not ours
        raise UserError(f"{configuration_files(words)}: {one_line(error)}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{configuration_files(words)}: is no UTF-8 ({error}); expected a YAML file") from error
    namespace.pop("config", None)
    check_groups(namespace, config_class)
    try:
        return config_class(**parser.instantiate(namespace).as_dict())
    except (ArgumentError, ValueError, TypeError) as error:
        raise users_error(error) from error


def environment_error(error: Exception) -> str | None:
    """What a full disk, a folder that vanished or too little memory are in one line; None for a mistake of ours."""
    if isinstance(error, OSError):
        expected = (
            "free space on the disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "a path that can be used"
        )
        place = f"{os.fsdecode(error.filename)[:300]}: " if isinstance(error.filename, str | bytes) else ""
        return f"{place}{error.strerror or error}; expected {expected}"
    text = str(error).splitlines()[0] if str(error) else ""
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text:
        return f"memory is not enough ({text or 'of this process'}); expected smaller images, models or batches"
    return None


def run(
    main: Callable[[Config], object],
    config_class: type[Config],
    description: str | None = None,
    base: Callable[[Config], Path | None] | None = None,
) -> None:
    """Entry point of a script: parse, call ``main(config)``; a ``UserError`` is one line and exit code 2.

    A number that ``main`` returns is the exit code.

    Args:
        base: given what was parsed, the configuration file that applies where the command line names none.
    """
    with plain_streams():
        try:
            status = call(main, config_class, description, base)
        except UserError as error:
            print(f"error: {printable(one_line(error))}", file=sys.stderr)
            sys.exit(2)
        except BrokenPipeError:  # whoever read what is printed has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except (OSError, MemoryError, RuntimeError) as error:
            line = environment_error(error)
            if line is None:
                raise
            print(f"error: {printable(one_line(line))}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
    if isinstance(status, int) and status:
        sys.exit(status)


def call(
    main: Callable[[Config], object],
    config_class: type[Config],
    description: str | None,
    base: Callable[[Config], Path | None] | None,
) -> object:
    """Parse and call ``main``, see :func:`run`; returns what it returns."""
    config = parse(config_class, description=description)
    if base is not None and not any(word.split("=")[0] == "--config" for word in sys.argv[1:]):
        path = base(config)
        if path is not None:
            print(f"configuration: {path} (--config FILE takes another)")
            config = parse(config_class, ["--config", str(path), *sys.argv[1:]], description)
    keep_any_text()
    return main(config)


def keep_any_text() -> None:
    """Where pyarrow is installed pandas keeps texts in it, which takes UTF-8 alone; file names may be of any bytes."""
    if find_spec("pyarrow") is not None:
        import pandas as pd

        pd.set_option("mode.string_storage", "python")
