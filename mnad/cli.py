"""Command lines: one documented dataclass per script, parsed by jsonargparse.

A YAML file given with ``--config`` is a short difference from the dataclass defaults; later options win.
Unknown keys and wrong types are errors of one line and exit code 2.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from mnad.errors import UserError

Config = TypeVar("Config")


def build_parser(config_class: type, description: str | None = None) -> ArgumentParser:
    """Parser with one option per field of ``config_class`` (nested dataclasses as ``--group.field``)."""
    parser = ArgumentParser(description=description, exit_on_error=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter if description else parser.formatter_class
    parser.add_argument("--config", action="config", help="YAML file of differences from the defaults")
    parser.add_class_arguments(config_class, fail_untyped=False)
    return parser


def parse(config_class: type[Config], argv: Sequence[str] | None = None, description: str | None = None) -> Config:
    """Fill ``config_class`` from ``argv``.

    Raises:
        UserError: unknown option or key, or a value of the wrong type.
    """
    parser = build_parser(config_class, description)
    try:
        namespace = parser.parse_args(argv)
    except ArgumentError as error:
        raise UserError(" ".join(str(error).split())) from error
    namespace.pop("config", None)
    return config_class(**parser.instantiate_classes(namespace).as_dict())


def run(main: Callable[[Config], object], config_class: type[Config], description: str | None = None) -> None:
    """Entry point of a script: parse, call ``main(config)``, turn a ``UserError`` into one line and exit code 2."""
    try:
        main(parse(config_class, description=description))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
