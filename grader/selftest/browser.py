"""Headless Chromium, spoken to over a pipe: what a page looks like, and what it says of itself.

The DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) over `--remote-debugging-pipe`: each message
is JSON, ended by a zero byte. That needs no driver, no port and no network. Chromium itself comes from the system
(`apt install chromium`, or any Chrome); tests that need it are skipped where there is none.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE_S = 60.0
_OPTIONS = (
    "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage", "--font-render-hinting=none", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


def find_browser() -> str | None:
    """The path of a Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
    """A page in a browser of its own.

    troubles: what the browser complained about: console errors and warnings, exceptions, what could not be loaded.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.troubles: list[str] = []
        self._to, self._from = to_browser, from_browser
        self._received = b""
        self._events: list[dict[str, Any]] = []
        self._count = 0
        self._session = ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, path: Path) -> None:
        """Load a file and wait until it is there as a whole; `troubles` begins anew."""
        self.troubles.clear()
        self._call("Page.navigate", url=path.resolve().as_uri())
        self._wait_for("Page.loadEventFired")

    def show(self, *, width: int, height: int = 800, scale: float = 1, dark: bool = False, paper: bool = False) -> None:
        """How the page is looked at: width and height in CSS pixels, `scale` device pixels each."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, as plain data."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", "a page's exception"))
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press and release a key, such as "Tab" (9)."""
        for kind in ("rawKeyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)
        if key == "Enter":
            self._call("Input.dispatchKeyEvent", type="char", text="\r")

    def photograph(self, *, height: int | None = None) -> bytes:
        """A PNG of the page as it is looked at, down to `height` CSS pixels, or to its end."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self._call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def print(self) -> bytes:
        """The page as a PDF on A4."""
        return base64.b64decode(self._call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._take(answer)

    def _wait_for(self, event: str) -> None:
        while not any(seen["method"] == event for seen in self._events):
            self._take(self._receive())
        self._events.clear()

    def _take(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        said = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" if said["type"] in ("error", "warning", "assert"):
                self.troubles.append(" ".join(str(part.get("value", part)) for part in said["args"]))
            case "Runtime.exceptionThrown":
                self.troubles.append(said["exceptionDetails"]["text"])
            case "Log.entryAdded" if said["entry"]["level"] in ("error", "warning"):
                self.troubles.append(said["entry"]["text"])

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._from, 1 << 16) if ready else b""
            if not chunk:
                raise RuntimeError("the browser ended" if ready else f"the browser said nothing for {_PATIENCE_S:g} s")
            self._received += chunk
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser() -> Iterator[Page]:
    """An empty page in a browser that is started for it, and ended with it.

    Raises:
        RuntimeError: there is no Chromium here, or it does not start.
    """
    program = find_browser()
    if program is None:
        raise RuntimeError(f"no browser is installed here: none of {', '.join(_NAMES)} is on PATH")
    commands, answers = os.pipe(), os.pipe()
    # Its sandbox refuses to run as root, and needs user namespaces. The pages shown here are the kit's own.
    options = [*_OPTIONS, "--no-sandbox"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The protocol's pipe is on file descriptors 3 and 4, whatever numbers these have here.
        shell = f'exec 3<&{commands[0]} 4>&{answers[1]}; exec "$0" "$@"'
        process = subprocess.Popen(
            ["bash", "-c", shell, program, *options, f"--user-data-dir={profile}"],
            pass_fds=(commands[0], answers[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(commands[0])
        os.close(answers[1])
        try:
            yield Page(commands[1], answers[0])
        finally:
            os.close(commands[1])  # which ends it
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(answers[0])
