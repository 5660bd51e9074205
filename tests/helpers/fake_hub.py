"""A model hub on this machine: the real client downloads a folder from it over HTTP, and no byte leaves the machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "a" * 40


class _Hub(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, *given: Any) -> None:
        self.folder = folder
        super().__init__(*given)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        place = self.path.partition("?")[0]
        names = [p.relative_to(self.folder).as_posix() for p in sorted(self.folder.rglob("*")) if p.is_file()]
        name = place.partition(f"/resolve/{COMMIT}/")[2]
        if name in names:
            data = (self.folder / name).read_bytes()
            self._send(data, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})
        elif "/tree/" in place:
            oids = {n: hashlib.sha1((self.folder / n).read_bytes()).hexdigest() for n in names}
            found = [
                {"type": "file", "path": n, "oid": oids[n], "size": (self.folder / n).stat().st_size} for n in names
            ]
            self._send(json.dumps(found).encode(), {"Content-Type": "application/json"})
        elif place.startswith("/api/models/"):
            told = {"_id": "1", "id": "owner/model", "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
            self._send(json.dumps(told).encode(), {"Content-Type": "application/json"})
        else:
            self.send_error(404)

    def _send(self, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextmanager
def fake_hub(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it the hub's client finds `folder` as the only repository, whatever its name, and caches in `cache`."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    values = {"ENDPOINT": address, "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": True}
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
