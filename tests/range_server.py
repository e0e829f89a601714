"""Local HTTP server for tests: it serves byte ranges, counts what it sends, and can fail on purpose."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

PIECE = 2**16
"""Number of bytes that are sent, and counted, at a time."""


@dataclass
class RangeServer:
    """What the server does and has done.

    Attributes:
        folder: folder whose files are served.
        has_ranges: answer range requests with status 206; otherwise send whole files.
        has_head: answer requests for headers only; otherwise refuse them, as servers do for signed URLs.
        drops: number of the next requests whose connection is dropped half way through the body.
        fails: number of the next requests that are answered with ``status``.
        status: HTTP status of failures.
        spared: number of requests that are answered properly before the first failure or drop.
        sent: bytes sent in bodies, by path.
        requests: method, path with query, and range of each request.
    """

    folder: Path
    url: str = ""
    has_ranges: bool = True
    has_head: bool = True
    drops: int = 0
    fails: int = 0
    status: int = 500
    spared: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self) -> str:
        """Return the fault of the next answer: ``drop``, ``fail`` or an empty string."""
        with self.lock:
            if self.spared > 0:
                self.spared -= 1
            elif self.fails > 0:
                self.fails -= 1
                return "fail"
            elif self.drops > 0:
                self.drops -= 1
                return "drop"
        return ""


@contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """Serve a folder on a free port of this machine."""
    state = RangeServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def answer(self, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            wanted = self.headers["Range"]
            with state.lock:
                state.requests.append((self.command, self.path, wanted))
            fault = state.fault()
            file = state.folder / path.lstrip("/")
            is_refused = self.command == "HEAD" and not state.has_head
            if fault == "fail" or is_refused or not file.is_file():
                self.send_response(state.status if fault else 403 if is_refused else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            size = file.stat().st_size
            first, last = 0, size - 1
            if match := state.has_ranges and wanted and re.fullmatch(r"bytes=(\d+)-(\d*)", wanted):
                first, last = int(match[1]), min(int(match[2] or last), last)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("ETag", f'"{file.stat().st_mtime_ns}"')
            self.end_headers()
            if not with_body:
                return
            with file.open("rb") as content:
                content.seek(first)
                body = content.read(last - first + 1)
            if fault == "drop":
                body = body[: len(body) // 2]
                self.close_connection = True
            try:
                for start in range(0, len(body), PIECE):
                    self.wfile.write(piece := body[start : start + PIECE])
                    with state.lock:
                        state.sent[path] = state.sent.get(path, 0) + len(piece)
            except ConnectionError:  # the client has read enough
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # connections that the client resets
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
