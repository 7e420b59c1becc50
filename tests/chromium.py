"""Debian's Chromium, headless, driven through its DevTools protocol over a pipe: no driver and no package needed."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from select import select
from types import TracebackType
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    """One page. Commands go to file descriptor 3 of the browser, answers and events come from 4, each ended by 0.

    Attributes:
        requests: URLs asked for, without ``data:`` and ``blob:``.
        errors: uncaught exceptions, console errors and warnings.
    """

    def __init__(self, profile: Path, width: int = 1320, height: int = 900, timeout: float = 60) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.timeout = timeout
        self.received = b""
        self.number = 0
        self.session: str | None = None
        to_browser, self.commands = os.pipe()
        self.answers, from_browser = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
        options += [f"--window-size={width},{height}", f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        shell = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, str(PROGRAM), *options, "about:blank"],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        page = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        os.close(self.commands)
        os.close(self.answers)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self.received:
            assert select([self.answers], [], [], self.timeout)[0], "chromium: no answer"
            chunk = os.read(self.answers, 1 << 20)
            assert chunk, "chromium: ended"
            self.received += chunk
        text, _, self.received = self.received.partition(b"\0")
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        told, method = event.get("params", {}), event.get("method")
        if method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("data:", "blob:")):
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(told["entry"]["text"])

    def open(self, page: Path | str) -> None:
        """Load a file or an address and wait until it is complete."""
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self.wait(lambda: self.run("document.readyState") == "complete", "the page to load")

    def run(self, code: str) -> Any:
        """Value of a JavaScript expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Poll until ``condition()`` is true, return its value."""
        end = time.monotonic() + self.timeout
        while not (value := condition()):
            assert time.monotonic() < end, f"chromium: waited in vain for {what}"
            time.sleep(0.05)
        return value

    def mouse(self, kind: str, x: float, y: float, pressed: bool = False) -> None:
        """``mousePressed``, ``mouseMoved`` or ``mouseReleased`` at (x, y) in the window."""
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        held = {"buttons": 1, "button": "left"} if pressed else {}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **(button | held))

    def resize(self, width: int, height: int) -> None:
        """Show the page as on a screen of that size, in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def key(self, name: str, shift: bool = False) -> None:
        """Press and release one key (``Tab``, ``Enter``, ``ArrowLeft``, ...)."""
        code = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Delete": 46}
        told = {"key": name, "code": name, "windowsVirtualKeyCode": code[name], "modifiers": 8 * shift}
        if name == "Enter":
            told["text"] = "\r"
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **told)

    def give_files(self, selector: str, paths: list[Path]) -> None:
        """Choose ``paths`` in a file field, as its user would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def screenshot(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])
