"""Put a dataset where the other commands find it: download (if it is a link), unpack, check.

    python scripts/get_data.py --source "LINK OF THE COURSE" --out data/wells
    python scripts/get_data.py --source casting_wells.tar --out data/wells

Links need the extra "data" (gdown), which `make env` installs. Nothing of an existing folder is replaced.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from mnad.config import LayoutOptions
from mnad.run import UserError
from mnad.run.cli import run


@dataclass
class GetDataConfig:
    """Where from, where to.

    Args:
        source: Google Drive link, other http link, or a zip or tar archive on this machine.
        out: new folder for the dataset, for --data of the other commands.
        layout: how the dataset is laid out; ``auto`` looks at its folders.
        layout_options: names and shares of the layouts that need some, such as a category of MVTec AD.
        timeout: seconds without a byte after which a download is given up; the same command then goes on with it.
    """

    source: str
    out: Path = Path("data/wells")
    layout: str = "auto"
    layout_options: LayoutOptions = field(default_factory=LayoutOptions)
    timeout: float = 60

    def __post_init__(self) -> None:
        """Raises ``UserError`` for no time at all."""
        if not 0 < self.timeout < math.inf:
            raise UserError(f"timeout: expected a number of seconds above 0, got {self.timeout}")


def main(config: GetDataConfig) -> None:
    """Fetch, check, and print what was found."""
    from mnad.data.fetch import fetch

    print(f"{config.out}: {fetch(config.source, config.out, config.layout, config.layout_options, config.timeout)}")


if __name__ == "__main__":
    run(main, GetDataConfig, __doc__)
