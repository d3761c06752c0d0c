"""Headless Chromium, driven by the DevTools protocol."""

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SOFTWARE_GL = "--use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
QUIET = "--headless --no-sandbox --no-first-run --disable-background-networking --disable-component-update"
ONLY_LOOPBACK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
WINDOW = "--window-size=1280,800"
TEXT = "document.body.innerText"


class Browser:
    """One tab."""

    def __init__(self, address: str, port: str) -> None:
        from websockets.sync.client import connect

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=20) as answer:
            tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
        self._socket, self._calls = connect(tab["webSocketDebuggerUrl"], max_size=None), 0
        self.asked: set[str] = set()
        self._call("Network.enable")
        self._call("Page.navigate", url=address)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("method") == "Network.requestWillBeSent":
                self.asked.add(message["params"]["request"]["url"])
            if message.get("id") == self._calls:
                return message["result"]

    def run(self, script: str) -> Any:
        """The value of some JavaScript."""
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def press(self, key: str) -> None:
        """A key, in what has the focus."""
        code, number = (f"Key{key.upper()}", ord(key.upper())) if len(key) == 1 else (key, 39)
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """The left button at a place of the window, px: "Pressed", "Moved" or "Released"."""
        down = int(kind != "Released")
        self._call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, button="left", buttons=down, clickCount=1)

    def click(self, label: str) -> None:
        """The button whose label begins so."""
        self.run(f"[...document.querySelectorAll('button')].find(b => b.innerText.startsWith({label!r})).click()")

    def screenshot(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def wait(self, script: str, holds: Callable[[Any], object], seconds: float = 120) -> Any:
        """The value of some JavaScript, as soon as it is as it should be."""
        end = time.monotonic() + seconds
        while not holds(value := self.run(script)):
            assert time.monotonic() < end, value
            time.sleep(0.5)
        return value


@contextmanager
def chromium(address: str, profile: Path) -> Iterator[Browser]:
    """A browser of its own at this address; the test is skipped where there is none."""
    if not CHROMIUM:
        pytest.skip("no Chromium: apt-get install chromium")
    flags = [*QUIET.split(), *SOFTWARE_GL.split(), ONLY_LOOPBACK, WINDOW, "--remote-debugging-port=0"]
    command = [CHROMIUM, *flags, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = next(found for line in process.stderr if (found := re.search(r"ws://127.0.0.1:(\d+)/", line)))
        try:
            yield Browser(address, told[1])
        finally:
            process.terminate()
