"""A script of the project under limits of time and memory, and what a user may expect of it.

The sandbox is a process that has imported the project once and forks for each case, which then costs a tenth of a
second instead of three. Each case is a process of its own: with its limits, its working folder, its standard streams.

    sandbox = Sandbox()
    result = sandbox.run("score", folder, cwd=tmp_path)
    result.refused("is empty")       # exit status 2, one line of error that says so
    result.done()                    # exit status 0, 1 or 3, nothing to complain of
"""

import contextlib
import json
import os
import re
import resource
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mnad.run.streams import plain_streams

ROOT = Path(__file__).resolve().parents[2]
CPU_SECONDS = 10  # of processor time: on a busy machine the clock on the wall says nothing
WALL_SECONDS = 90  # for what waits without computing, such as for a pipe
MEMORY = 2_000_000_000  # bytes
CRASHED = 70  # no script ends with it
WARNING = re.compile("warning: |libpng |Unexpected element. Expected: ")  # libpng and OpenCV's AVI cannot be silenced
BAR = re.compile(r".*\d\d:\d\d.*\]")  # a progress bar, after which there may be more on its line


def some_quick(cases: Iterable, every: int) -> list:
    """``cases`` for ``pytest.mark.parametrize``: the first of ``every`` so many runs with the quick tests, the others
    with the slow ones."""
    return [pytest.param(case, marks=[pytest.mark.slow] if i % every else []) for i, case in enumerate(cases)]


@dataclass
class Result:
    """What became of one case.

    Attributes:
        status: exit status; that of a process which a signal has ended is negative.
        out, err: what it printed.
        seconds: processor time.
        memory: largest resident set, in bytes; that of the sandbox itself (about 500 MB) is part of it.
        left: temporary files in its working folder.
    """

    status: int
    out: str
    err: str
    seconds: float
    memory: int
    left: list[str]
    case: str = ""

    def told(self) -> str:
        """Everything, for the message of a failed test."""
        return (
            f"{self.case}\nexit status {self.status}, {self.seconds:.1f} s, {self.memory / 1e6:.0f} MB, "
            f"left {self.left}"
            f"\nstdout:\n{self.out[-3000:]}\nstderr:\n{self.err[-3000:]}"
        )

    def lines(self) -> list[str]:
        """Lines of standard error that are no warning and no progress bar."""
        shown = [BAR.sub("", line.rpartition("\r")[2]).strip() for line in self.err.split("\n")]
        return [line for line in shown if line and not WARNING.match(line)]

    def within_limits(self) -> "Result":
        """It ended by itself, in time, in bounds, without a traceback and with nothing temporary left."""
        assert self.status in (0, 1, 2, 3), self.told()
        assert "Traceback" not in self.err + self.out, self.told()
        assert self.seconds <= CPU_SECONDS and self.memory <= MEMORY, self.told()
        assert not self.left, self.told()
        return self

    def refused(self, *words: str) -> str:
        """Exit status 2 and one line of error, which has all ``words``; returns the line."""
        self.within_limits()
        assert self.status == 2, self.told()
        assert len(self.lines()) == 1 and self.lines()[0].startswith("error: "), self.told()
        for word in words:
            assert word in self.lines()[0], f"{word!r} is not said: {self.told()}"
        return self.lines()[0]

    def done(self, *words: str) -> str:
        """Exit status 0, 1 or 3, no error, and all ``words`` somewhere in what was printed, which it returns."""
        self.within_limits()
        assert self.status in (0, 1, 3) and not [line for line in self.lines() if line.startswith("error")], self.told()
        for word in words:
            assert word in self.out + self.err, f"{word!r} is not said: {self.told()}"
        return self.out + self.err

    def without_verdict(self, *words: str) -> str:
        """Exit status 2 of scripts/score.py: nothing could be scored, and its table says why, with all ``words``."""
        self.within_limits()
        assert self.status == 2 and "0 anomalous, 0 normal" in self.out and not self.lines(), self.told()
        for word in words:
            assert word in self.out, f"{word!r} is not said: {self.told()}"
        return self.out

    def judged(self) -> "Result":
        """:meth:`refused`, :meth:`done` or :meth:`without_verdict`, whichever its exit status asks for."""
        if self.status != 2:
            self.done()
        elif self.lines():
            self.refused()
        else:
            self.without_verdict()
        return self


@dataclass
class Sandbox:
    """Forks the cases. One for all tests of a session; close it at the end.

    Attributes:
        seen: every result so far.
    """

    seen: list[Result] = field(default_factory=list)
    _process: subprocess.Popen | None = None

    def run(
        self,
        name: str,
        *arguments: object,
        cwd: Path,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        file_size: int | None = None,
        wall: float = WALL_SECONDS,
    ) -> Result:
        """One call of ``scripts/NAME.py``.

        Args:
            arguments: of the command line.
            cwd: its working folder, in which nothing temporary may stay.
            stdin: what it reads.
            environment: variables beside those of this process.
            file_size: largest file that it can write, in bytes; beyond it writing fails as on a full disk.
            wall: seconds after which it is killed.
        """
        if self._process is None:
            environ = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
            command = [sys.executable, str(Path(__file__).resolve())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT
            )
        words = [os.fsencode(str(word)).decode("latin-1") for word in arguments]
        request = {
            "name": name,
            "words": words,
            "cwd": str(cwd),
            "stdin": stdin.decode("latin-1"),
            "environment": dict(environment or {}),
            "file_size": file_size,
            "wall": wall,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the sandbox itself has died"
        left = [str(path.relative_to(cwd)) for path in Path(cwd).rglob("*.tmp") if path.name.startswith(".")]
        result = Result(**json.loads(answer), left=left, case=f"{name}.py {' '.join(words)}")
        self.seen.append(result)
        return result

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def child(request: Mapping, files: Mapping[str, int]) -> int:
    """Run the script in this process, which has been forked for it; returns the exit status."""
    os.setsid()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(files[name], number)
    os.chdir(request["cwd"])
    os.environ.update(request["environment"])
    sys.path[:0] = filter(None, request["environment"].get("PYTHONPATH", "").split(os.pathsep))
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS, used + CPU_SECONDS + 1))
    most = 2 * MEMORY  # of private memory, used or not, so that no bomb fills the machine
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if request["file_size"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
    script = str(ROOT / "scripts" / f"{request['name']}.py")
    sys.argv = [script, *(os.fsdecode(word.encode("latin-1")) for word in request["words"])]
    try:
        runpy.run_path(script, run_name="__main__")
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = CRASHED
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return status


def serve() -> None:
    """Answer the requests on standard input, one a line, until it ends."""
    requests, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with plain_streams():
        import_project()
    for line in requests:
        request = json.loads(line)
        with contextlib.ExitStack() as stack:
            opened = {name: stack.enter_context(tempfile.TemporaryFile()) for name in ("stdin", "stdout", "stderr")}
            opened["stdin"].write(request["stdin"].encode("latin-1"))
            opened["stdin"].seek(0)
            pid = os.fork()
            if pid == 0:
                status = CRASHED
                try:
                    status = child(request, {name: file.fileno() for name, file in opened.items()})
                finally:
                    os._exit(status)
            handle = os.pidfd_open(pid)
            if not select.select([handle], [], [], request["wall"])[0]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            os.close(handle)
            _, status, used = os.wait4(pid, 0)
            for name in ("stdout", "stderr"):
                opened[name].seek(0)
            answer = {
                "status": os.waitstatus_to_exitcode(status),
                "out": opened["stdout"].read(100_000).decode(errors="backslashreplace"),
                "err": opened["stderr"].read(100_000).decode(errors="backslashreplace"),
                "seconds": used.ru_utime + used.ru_stime,
                "memory": used.ru_maxrss * 1024,
            }
        print(json.dumps(answer), file=answers, flush=True)


def import_project() -> None:
    """Everything that is slow to import. Nothing is computed: a thread would be missing after the fork."""
    import cv2
    import scipy.stats
    import sklearn.cluster
    import torch

    import baselines.tables
    import bayes
    import figures.make
    import mnad.data.fetch
    import mnad.evaluation.page
    import mnad.experiment
    import mnad.latent.run
    import mnad.line.command
    import mnad.run.cli

    assert all((baselines, bayes, figures, mnad, scipy, sklearn))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


if __name__ == "__main__":
    serve()
