"""Standard streams of a command: a warning is one line, any name can be printed, decoders keep to themselves."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from mnad.run import one_line

SILENT = 0  # log level of OpenCV
AV_LOG_QUIET = "-8"  # of FFmpeg; what is wrong with a film is told with its name


def printable(text: str) -> str:
    """``text`` as any terminal can show it: what is no letter or sign, which may move the cursor, becomes an escape."""
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in whole)
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


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

    def plain(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
        ours = issubclass(category, UserWarning)  # others are bugs of ours, and say where they are
        return f"warning: {printable(one_line(message))}\n" if ours else before(message, category, *place, **line)

    warnings.formatwarning = plain
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # of damaged files, without their names
            yield
    finally:
        warnings.formatwarning = before
