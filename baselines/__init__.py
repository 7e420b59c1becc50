"""Models and methods to compare MNAD with, and the comparison."""


def register() -> None:
    """Let configurations and checkpoints name the trained baselines; every script calls it once."""
    from baselines.config import MemAEConfig
    from baselines.conv_ae import ConvAE
    from baselines.memae import MemAE
    from baselines.vae import VAE
    from mnad.model.build import register

    register("conv_ae", ConvAE)
    register("vae", VAE)
    register("memae", MemAE, MemAEConfig)
