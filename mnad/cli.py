"""Command lines: one documented dataclass per script, parsed by jsonargparse.

A YAML file given with ``--config`` is a short difference from the dataclass defaults; later options win.
A switch needs no value: ``--overwrite`` alone means ``--overwrite true``.
Unknown keys and wrong types are errors of one line and exit code 2.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TypeVar

from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter

from mnad.errors import UserError

Config = TypeVar("Config")


class HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the line breaks of a script's description and shows each option's type and default."""


def build_parser(config_class: type, description: str | None = None) -> ArgumentParser:
    """Parser with one option per field of ``config_class`` (nested dataclasses as ``--group.field``)."""
    parser = ArgumentParser(
        description=description, exit_on_error=False, formatter_class=HelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", action="config", help="YAML file of differences from the defaults")
    parser.add_class_arguments(config_class, fail_untyped=False)
    return parser


def give_switches_values(parser: ArgumentParser, argv: Sequence[str]) -> list[str]:
    """``argv`` with ``=true`` added to switches (options whose default is a bool) that stand alone."""
    switches = {f"--{key}" for key, value in parser.get_defaults().items() if isinstance(value, bool)}
    return [
        f"{word}=true" if word in switches and after.startswith("-") else word
        for word, after in zip_longest(argv, argv[1:], fillvalue="-")
    ]


def parse(config_class: type[Config], argv: Sequence[str] | None = None, description: str | None = None) -> Config:
    """Fill ``config_class`` from ``argv``.

    Raises:
        UserError: unknown option or key, or a value of the wrong type.
    """
    parser = build_parser(config_class, description)
    try:
        namespace = parser.parse_args(give_switches_values(parser, sys.argv[1:] if argv is None else argv))
    except ArgumentError as error:
        raise UserError(" ".join(str(error).split())) from error
    namespace.pop("config", None)
    return config_class(**parser.instantiate(namespace).as_dict())


def run(main: Callable[[Config], object], config_class: type[Config], description: str | None = None) -> None:
    """Entry point of a script: parse, call ``main(config)``; a ``UserError`` is one line and exit code 2."""
    try:
        main(parse(config_class, description=description))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
