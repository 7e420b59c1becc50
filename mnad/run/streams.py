"""Standard streams of a command: a warning is one line, any name can be printed, decoders keep to themselves."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator

from mnad.run import one_line

SILENT = 0  # log level of OpenCV
AV_LOG_QUIET = "-8"  # of FFmpeg; what is wrong with a film is told with its name


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """The streams of this process for as long as the command runs.

    Names of files that are no UTF-8 are printed with escapes. A variable of the environment that is there stays.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", AV_LOG_QUIET)
    if "cv2" in sys.modules:  # it has read the environment already
        sys.modules["cv2"].utils.logging.setLogLevel(SILENT)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {one_line(message)}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before
