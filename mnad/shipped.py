"""Where the shipped checkpoints of the drawn wells are: what maps and figures take when they are told no other."""

from pathlib import Path

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
CHECKPOINT = CHECKPOINTS / "synthetic.safetensors"  # MNAD
COMPARE = CHECKPOINTS / "synthetic_conv_ae.safetensors"  # the plain autoencoder beside it
