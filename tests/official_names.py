"""A narrow model under the parameter names of the official code."""

import json

from helpers import ROOT
from torch import Tensor

from mnad.model.mnad import MNAD
from mnad.model.official import our_name

GOLDEN = ROOT / "tests" / "golden"
PARAMETERS = json.loads((GOLDEN / "mnad_official_parameters.json").read_text())  # variant -> name -> shape


def small_official(variant: str = "recon") -> tuple[dict[str, Tensor], Tensor]:
    """A narrow model under official names."""
    model = MNAD(variant, width=2, items=3, item_dim=4)
    ours = model.state_dict()
    given = {name: ours[our_name(name)] for name in PARAMETERS[variant] if our_name(name) is not None}
    return given, model.memory.items.clone()
