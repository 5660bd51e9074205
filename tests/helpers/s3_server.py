"""A small S3-compatible server process for tests: `python s3_server.py PORT [EVERY]`.

Objects live in memory. With EVERY > 0 each EVERYth request is answered by 503 SlowDown, and the one after it has its
connection dropped: what a busy store does. `GET /_counts` tells how often each method was called so far, and how many
requests were under way at most.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
import threading
import time
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

OBJECTS: dict[str, bytes] = {}
UPLOADS: dict[str, dict[int, bytes]] = {}
LOCK = threading.Lock()
COUNT = itertools.count(1)
COUNTS: Counter[str] = Counter()
SLOW, SECONDS = "/slow/", 0.3  # puts of such names take so long, so that those under way at once are seen
EVERY = int(sys.argv[2]) if len(sys.argv) > 2 else 0


class Handler(BaseHTTPRequestHandler):
    """The calls that Arrow's client makes."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def trouble(self) -> bool:
        number = next(COUNT)
        kind = "LIST" if self.command == "GET" and "/" not in self.parts()[0].rstrip("/") else self.command
        with LOCK:
            COUNTS[kind] += 1
        if EVERY and number % EVERY == 0:
            self.body()
            self.answer(503, b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>")
            return True
        if EVERY and number % EVERY == 1 and number > 1:
            self.close_connection = True
            self.connection.close()
            return True
        return False

    def body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return _unsigned(data) if "aws-chunked" in self.headers.get("Content-Encoding", "") else data

    def answer(self, code: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def parts(self) -> tuple[str, dict[str, str]]:
        split = urlsplit(self.path)
        return unquote(split.path).lstrip("/"), {
            k: v[0] for k, v in parse_qs(split.query, keep_blank_values=True).items()
        }

    def do_PUT(self) -> None:
        if self.trouble():
            return
        key, query = self.parts()
        data = self.body()
        with LOCK:
            COUNTS["under way"] += 1
            COUNTS["most puts at once"] = max(COUNTS["most puts at once"], COUNTS["under way"])
        time.sleep(SECONDS if SLOW in f"/{key}" else 0)
        with LOCK:
            COUNTS["under way"] -= 1
            taken = self.headers.get("If-None-Match") == "*" and key in OBJECTS
            if "uploadId" in query:
                UPLOADS[query["uploadId"]][int(query["partNumber"])] = data
            elif not taken:
                OBJECTS[key] = data
        if taken:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code><Message>it exists</Message></Error>")
        else:
            self.answer(200, ETag=_tag(data))

    def do_POST(self) -> None:
        if self.trouble():
            return
        key, query = self.parts()
        body = self.body()
        if "delete" in query:
            keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
            with LOCK:
                for one in keys:
                    OBJECTS.pop(f"{key.rstrip('/')}/{unescape(one)}", None)
            self.answer(200, b"<DeleteResult></DeleteResult>", Content_Type="application/xml")
            return
        with LOCK:
            if "uploads" in query:
                name = uuid.uuid4().hex
                UPLOADS[name] = {}
                text = f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            else:
                pieces = UPLOADS.pop(query["uploadId"], None)
                if pieces is not None:
                    OBJECTS[key] = b"".join(pieces[n] for n in sorted(pieces))
                inner = f"<Key>{escape(key)}</Key><ETag>x</ETag>"
                text = f"<CompleteMultipartUploadResult>{inner}</CompleteMultipartUploadResult>"
        self.answer(200, text.encode(), Content_Type="application/xml")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/_counts":
            with LOCK:
                self.answer(200, json.dumps(COUNTS).encode())
            return
        if self.trouble():
            return
        key, query = self.parts()
        if "/" not in key.rstrip("/"):
            self.listing(key.rstrip("/"), query)
            return
        with LOCK:
            data = OBJECTS.get(key)
        if data is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        wanted = self.headers.get("Range")
        if wanted and self.command == "GET":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            piece = data[int(first) : int(last) + 1 if last else None]
            self.answer(
                206, piece, ETag=_tag(data), Content_Range=f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"
            )
        else:
            self.answer(200, data, ETag=_tag(data), Last_Modified="Sun, 22 Nov 2026 12:00:00 GMT")

    def listing(self, bucket: str, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        with LOCK:
            names = sorted(k[len(bucket) + 1 :] for k in OBJECTS if k.startswith(f"{bucket}/{prefix}"))
        common = {
            prefix + n[len(prefix) :].split(delimiter)[0] + delimiter
            for n in names
            if delimiter and delimiter in n[len(prefix) :]
        }
        plain = [n for n in names if not (delimiter and delimiter in n[len(prefix) :])][
            : int(query.get("max-keys", 10_000))
        ]
        rows = "".join(_listed(n, OBJECTS[f"{bucket}/{n}"]) for n in plain)
        rows += "".join(f"<CommonPrefixes><Prefix>{escape(c)}</Prefix></CommonPrefixes>" for c in sorted(common))
        count = len(plain) + len(common)
        head = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{count}</KeyCount>"
        head += "<IsTruncated>false</IsTruncated>"
        self.answer(200, f"<ListBucketResult>{head}{rows}</ListBucketResult>".encode(), Content_Type="application/xml")

    def do_DELETE(self) -> None:
        if self.trouble():
            return
        key, _ = self.parts()
        with LOCK:
            OBJECTS.pop(key, None)
        self.answer(204)


def _listed(name: str, data: bytes) -> str:
    stamp = "2026-11-22T12:00:00.000Z"
    inner = f"<Key>{escape(name)}</Key><LastModified>{stamp}</LastModified><ETag>x</ETag><Size>{len(data)}</Size>"
    return f"<Contents>{inner}</Contents>"


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def _unsigned(data: bytes) -> bytes:
    """The payload of aws-chunked encoding."""
    out = b""
    while data:
        head, _, data = data.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        out, data = out + data[:size], data[size + 2 :]
        if not size:
            break
    return out


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
