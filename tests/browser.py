"""
A real browser without a window, for tests that are about what people see.

It is Debian's ``chromium`` or whatever ``MASIVO_TEST_BROWSER`` names; where there is none, tests
that want one are skipped and say so. It runs with a profile of its own and without a network: every
name and every address but the page's own file is unreachable, or every one but this machine's.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


PROGRAM = os.environ.get("MASIVO_TEST_BROWSER") or shutil.which("chromium")

_PATIENCE_S = 60.0
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # CI runs as root, and what is opened is our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--proxy-server=127.0.0.1:9",
    "--remote-debugging-pipe",
)
_NO_LOOPBACK = "--proxy-bypass-list=<-loopback>"


class Browser:
    """
    One tab, told what to do over DevTools' pipe; *asked* are the addresses that the page wanted,
    *complaints* the console's.
    """

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._numbers = itertools.count(1)
        self._read = b""
        self._session = ""
        self._loaded = False
        self.asked: list[str] = []
        self.complaints: list[str] = []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.do(f"{domain}.enable")

    def open(self, what: Path | str, *, width: int, is_dark: bool = False) -> None:
        """
        Show a file or an address in a window of *width* CSS pixels, and wait until it is loaded.
        """
        self.asked, self.complaints, self._loaded = [], [], False
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])
        self.do("Page.navigate", url=what if isinstance(what, str) else what.as_uri())
        until = time.monotonic() + _PATIENCE_S
        while not self._loaded:
            self._next(until)

    def value(self, expression: str) -> Any:
        """Return what JavaScript's *expression* is on the page."""
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Have one DevTools command done, and return its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._to, json.dumps(command).encode() + b"\0")
        until = time.monotonic() + _PATIENCE_S
        while True:
            said = self._next(until)
            if said.get("id") == number:
                assert "error" not in said, said["error"]
                return dict(said["result"])

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._back], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser is silent"
            piece = os.read(self._back, 1 << 16)
            assert piece, "the browser is gone"
            self._read += piece
        line, _, self._read = self._read.partition(b"\0")
        said: dict[str, Any] = json.loads(line)
        match said.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(said["params"]["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(said["params"]["entry"]["text"])
            case "Page.loadEventFired":
                self._loaded = True
        return said


@contextmanager
def browser(profile: Path, *, reaches_loopback: bool = False) -> Iterator[Browser]:
    """Run a browser with its *profile* in an empty folder; it ends with the block."""
    assert PROGRAM
    (theirs_in, to), (back, theirs_out) = os.pipe(), os.pipe()

    def connect() -> None:
        # DevTools' pipe is descriptors 3 and 4, where ours may lie as well.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    running = subprocess.Popen(
        [
            PROGRAM,
            *_OPTIONS,
            *([] if reaches_loopback else [_NO_LOOPBACK]),
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        preexec_fn=connect,  # noqa: PLW1509 (no thread of ours runs yet)
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(to, back)
    finally:
        os.close(to)
        os.close(back)
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(10)
