"""What the test of Ray's workers runs in each of them; a module of its own, so that they can import it."""

import os
import signal
from pathlib import Path


def kill_in_the_middle(marker: Path, driver: int) -> None:
    """Kill this worker when it has scored its second partition and not written it yet, unless another has been killed
    so; ``marker`` keeps the number of its process. ``driver`` is the process that starts Ray, which lives on."""
    if os.getpid() == driver:
        return
    from mnad.line import archive

    batched, calls = archive.batched, []

    def counted(items: object, size: int) -> object:
        calls.append(1)
        yield from batched(items, size)
        if len(calls) == 2:
            try:
                with marker.open("x") as file:
                    file.write(str(os.getpid()))
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

    archive.batched = counted


def refuse_to_write(driver: int) -> None:
    """As if the disk were full, in this worker."""
    if os.getpid() == driver:
        return
    from mnad.line import archive
    from mnad.run import UserError

    def refuse(folder: Path, part: int) -> None:
        raise UserError(f"{folder}: cannot be written (No space left on device); expected a writable path")

    archive.read_list = refuse
