"""A headless Chromium for tests, spoken to through its debugging pipe: no driver, no server, no dependency."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from select import select

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
KEYS = {"Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}


def find():
    """The program, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


needed = pytest.mark.skipif(find() is None, reason=f"no Chromium on this machine: none of {', '.join(NAMES)} on PATH")


# Chromium reads commands from file descriptor 3 and answers on 4.
START = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]]
for fd, pipe in zip((3, 4), pipes):
    os.dup2(pipe, fd)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One tab. `open` a file, `run` JavaScript in it, `click`, press a `key`, `type` text, take a `shot`.

    `fonts` is a folder with the only fonts that it may use.
    """

    def __init__(self, width=1300, height=900, fonts=None):
        self._folder, self.fonts = tempfile.mkdtemp(prefix="chromium-"), fonts
        environment = dict(os.environ)
        if fonts is not None:
            settings = Path(self._folder, "fonts.conf")
            settings.write_text(f"<fontconfig><dir>{fonts}</dir><cachedir>{self._folder}/cache</cachedir></fontconfig>")
            environment["FONTCONFIG_FILE"] = str(settings)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
            "--no-first-run", "--disable-extensions", "--disable-dev-shm-usage",
        ]  # fmt: skip
        flags += [f"--window-size={width},{height}", f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs_in), str(theirs_out), find(), *flags],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._number, self._buffer, self._session = 0, b"", None
        self.requests, self.complaints = [], []  # what the page asked for, and what went wrong in it
        (target,) = (t for t in self._wait_for_tab() if t["type"] == "page")
        attached = self("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")

    def _wait_for_tab(self):
        for _ in range(1200):  # a minute: this machine may have other work
            targets = self("Target.getTargets")["targetInfos"]
            if any(t["type"] == "page" for t in targets):
                return targets
            time.sleep(0.05)
        raise TimeoutError("Chromium opened no tab")

    def __call__(self, method, **params):
        """One command of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def _read(self):
        while b"\0" not in self._buffer:
            if not select([self._in], [], [], 60)[0]:
                raise TimeoutError("Chromium did not answer for 60 s")
            part = os.read(self._in, 1 << 16)
            if not part:
                raise EOFError("Chromium is gone")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            if not params["request"]["url"].startswith("data:"):  # those are part of the page
                self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])

    def open(self, path, dark=False):
        """Open a file and wait until its script says that it is ready."""
        self.requests.clear()
        self.complaints.clear()
        value = "dark" if dark else "light"
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])
        self("Page.navigate", url=Path(path).absolute().as_uri())
        for k in range(3000):
            if self.run("document.documentElement?.dataset.ready") == "true":
                return self
            if self.complaints and k > 50:  # its script has ended
                break
            time.sleep(0.02)
        raise TimeoutError(f"{path} did not become ready: {self.complaints}")

    def size(self, width, height):
        """Make the window so large, as a phone's is 390 by 844."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return self

    def run(self, code):
        """The value of a JavaScript expression."""
        answer = self("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", "error"))
        return answer["result"].get("value")

    def click(self, selector, count=1):
        """A real click in the middle of an element."""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoViewIfNeeded?.(); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for k in range(1, count + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=k)

    def drag(self, start, end):
        """Press at one point of the window, move, and let go at another."""
        at = dict(zip("xy", start, strict=True)), dict(zip("xy", end, strict=True))
        self("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **at[0])
        self("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at[1])
        self("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **at[1])

    def key(self, key):
        """Press a key."""
        code = KEYS.get(key, ord(key[0].upper()))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        self("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
        self("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text):
        """Put text where the focus is."""
        self("Input.insertText", text=text)

    def shot(self, path=None):
        """A screenshot as PNG bytes, also to a file."""
        data = base64.b64decode(self("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            Path(path).write_bytes(data)
        return data

    def close(self):
        """End the program."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._folder, ignore_errors=True)
