"""A headless Chromium that loads what it is told to, and reports what comes of it."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

ROOT = Path(__file__).parents[2]
FLAGS = (
    *("--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,900"),
)
MODULE = """<!doctype html><meta charset="utf-8"><script type="module">
const parameters = new URLSearchParams(location.search);
const { default: main } = await import(parameters.get("module"));
const result = await main(await (await fetch("/given.json")).json());
await fetch(parameters.get("report"), { method: "POST", body: JSON.stringify({ result }) });
</script>"""
DRIVER = """<!doctype html><meta charset="utf-8"><style>iframe { width: 1200px; height: 800px }</style><script>
async function main() {
    for (;;) {
        const answer = await fetch("/next");
        const { page, report } = await answer.json();
        const frame = document.createElement("iframe");
        const tell = (event) => {
            const error = event.reason ?? event.error ?? event.message;
            fetch(report, { method: "POST", body: JSON.stringify({ error: String(error?.stack ?? error) }) });
        };
        document.body.replaceChildren(frame);
        frame.contentWindow.stop();
        frame.src = page;
        // The window of a page exists before its scripts run: from then on its errors are told.
        for (let old = frame.contentDocument; frame.contentDocument === old; ) {
            await new Promise((done) => setTimeout(done, 0));
        }
        frame.contentWindow.addEventListener("error", tell);
        frame.contentWindow.addEventListener("unhandledrejection", tell);
    }
}
addEventListener("load", main);
</script>"""


class Missing(Exception):
    """There is no browser; says what to install."""


class Handler(SimpleHTTPRequestHandler):
    """The repository's files, the pages above, data that tests give, and a place for results."""

    def __init__(self, browser: Browser, *arguments: Any) -> None:
        self.browser = browser
        super().__init__(*arguments, directory=str(ROOT))

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""

    def answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/next":
            self.answer("application/json", json.dumps(self.browser.pages.get()).encode())
        elif path in ("/driver.html", "/module.html"):
            self.answer("text/html", (DRIVER if path == "/driver.html" else MODULE).encode())
        elif path in self.browser.data:
            self.answer("application/json", self.browser.data[path])
        else:
            super().do_GET()

    def do_POST(self) -> None:
        found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.browser.results.put((self.path, found))
        self.answer("application/json", b"{}")


class Browser:
    """One Chromium and one server for as many pages as are loaded, one after the other."""

    def __init__(self) -> None:
        program = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
        if program is None:
            raise Missing("apt-get install chromium for the tests in a browser")
        self.program = program
        self.pages: queue.Queue[dict[str, str]] = queue.Queue()
        self.results: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.data: dict[str, bytes] = {}
        self.server = ThreadingHTTPServer(("localhost", 0), partial(Handler, self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self._count = 0
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = self.start(f"{self.address}/driver.html", self._profile.name)

    @property
    def address(self) -> str:
        """Where the server is."""
        return f"http://localhost:{self.server.server_port}"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A Chromium with the usual flags, a page, and a folder for what it remembers."""
        *options, page, profile = arguments
        return subprocess.Popen(
            [self.program, *FLAGS, f"--user-data-dir={profile}", *options, page],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """Ends both."""
        self._process.terminate()
        self._process.wait(20)
        self.server.shutdown()
        self.server.server_close()
        self._profile.cleanup()

    def load(self, page: str, timeout: float = 120, **parameters: str) -> Any:
        """What a page reports to the address that it is given as the parameter `report`."""
        self._count += 1
        report = f"/result/{self._count}"
        query = urlencode({**parameters, "report": report}, quote_via=quote)
        self.pages.put({"page": f"{page}?{query}", "report": report})
        while True:
            try:
                place, found = self.results.get(timeout=timeout)
            except queue.Empty:
                ended = self._process.poll()
                state = "" if ended is None else f"; Chromium has ended with {ended}"
                raise TimeoutError(f"{page} has reported nothing for {timeout:g} s{state}") from None
            if place == report:
                break
        if "error" in found:
            raise RuntimeError(found["error"])
        return found["result"]

    def run(self, module: str, given: Any = None, timeout: float = 120) -> Any:
        """What the function that a JavaScript module of this folder exports gives for `given`."""
        self.data["/given.json"] = json.dumps(given).encode()
        return self.load("/module.html", timeout, module=f"/tests/web/{module}")
