"""Write a detector as one ONNX file: uint8 RGB images of any size in; scores, verdicts, terms and maps out.

Resizing, normalisation, network, score and threshold are inside. The file is compared with PyTorch before it is there:
on drawn images of many sizes and on --data. It is not written when a verdict differs, or a score by more than 1e-4.
Run it with python -m mnad.runtime, without PyTorch.
"""

from dataclasses import dataclass
from pathlib import Path

import baselines
from mnad.run import UserError
from mnad.run.cli import run


@dataclass
class ExportConfig:
    """What to export.

    Args:
        out: file to write (.onnx).
        checkpoint: run folder, .safetensors file, or the name of a shipped detector.
        data: folder (with all below it), file or film to compare on, besides the drawn images.
        drawn: drawn images to compare on.
        seed: of the drawn images.
        openvino: compare the verdicts of OpenVINO, too; with bfloat16 as well where the processor has it.
        overwrite: replace the file.
    """

    out: Path
    checkpoint: Path = Path("wells")
    data: Path | None = None
    drawn: int = 200
    seed: int = 0
    openvino: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Raises ``UserError`` for options that are out of range."""
        if self.out.suffix != ".onnx":
            raise UserError(f"out: expected a file ending in .onnx, got {self.out}")
        if self.drawn < 0 or (self.drawn == 0 and self.data is None):
            raise UserError(f"drawn: {self.drawn} without data; expected images to compare on")


def main(config: ExportConfig) -> None:
    """Export, compare, write, print."""
    from mnad.export.command import export

    baselines.register()
    export(config)


def command() -> None:
    """Entry point of the installed command."""
    run(main, ExportConfig, __doc__)


if __name__ == "__main__":
    command()
