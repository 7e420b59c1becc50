"""Words of earlier revisions, still read from checkpoints, configuration files and command lines.

Until 2026-11-24 a known anomaly was called a spill everywhere, and the options of a baseline stood in every model.
"""

from typing import Any

RENAMED = {"spill_quantile": "anomalous_quantile"}  # an option and a rule of the threshold


def modernise(value: Any) -> Any:
    """``value`` (of JSON or YAML) with today's words; everything else is kept as it is."""
    if isinstance(value, dict):
        return {RENAMED.get(key, key): modernise(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [modernise(inner) for inner in value]
    return RENAMED.get(value, value) if isinstance(value, str) else value


def modern_argument(argument: str) -> str:
    """One word of a command line with today's words: ``--threshold.spill_quantile=0.02``."""
    for old, new in RENAMED.items():
        argument = argument.replace(f".{old}", f".{new}").replace(f"={old}", f"={new}")
        argument = new if argument == old else argument
    return argument
