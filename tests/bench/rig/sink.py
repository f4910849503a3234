"""
A sink in the API's place: real HTTP on the loopback, in a process of its own, that answers every
POST with 201 at once.

It counts requests, bytes and records. With ``--digest`` it also adds up a hash of every record with
its customer, whatever their order, so that two ways of sending can be compared; that costs far more
than the sending, so it is off where time is taken.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen


_MARKS = {"migrate": b'"registration_date"', "events": b'"purchase_id"', "transactions": b'"issued_at"'}


class Sink:
    """What a running sink at *url* has counted."""

    def __init__(self, url: str) -> None:
        self.url = url

    def counts(self) -> dict[str, Any]:
        """Return requests, records, bytes and digest since the last call, and begin anew."""
        with urlopen(f"{self.url}/counts") as answer:
            return dict(json.loads(answer.read()))


@contextmanager
def sink(*, digests: bool = False) -> Iterator[Sink]:
    """Run a sink until the block ends."""
    command = [sys.executable, str(Path(__file__)), *(["--digest"] if digests else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Sink(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait(10)


class _Counted:
    def __init__(self) -> None:
        self.requests = self.records = self.bytes = self.digest = 0

    def taken(self, path: str, body: bytes, *, digests: bool) -> None:
        kind = path.rsplit("/", 1)[-1]
        self.requests += 1
        self.bytes += len(body)
        self.records += body.count(_MARKS.get(kind, b'"registration_date"'))
        if digests:
            for customer in json.loads(body)["customers"]:
                for record in customer.get("events") or customer.get("transactions") or [customer]:
                    line = json.dumps([customer["id"], record], sort_keys=True, separators=(",", ":"))
                    self.digest ^= int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest())

    def as_json(self) -> bytes:
        counts = {"requests": self.requests, "records": self.records, "bytes": self.bytes}
        return json.dumps(counts | {"digest": f"{self.digest:016x}"}).encode()


class _Taking(asyncio.Protocol):
    """One connection: a request is a head, and a body as long as the head says."""

    counted = _Counted()
    digests = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._held = bytearray()
        self._expected = -1
        self._path = ""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while self._step():
            pass

    def _step(self) -> bool:
        if self._expected < 0:
            end = self._held.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self._held[:end]).decode("latin-1").split("\r\n")
            del self._held[: end + 4]
            self._path = head[0].split(" ")[1]
            fields = dict(line.lower().split(": ", 1) for line in head[1:])
            self._expected = int(fields.get("content-length", 0))
            if fields.get("expect") == "100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self._held) < self._expected:
            return False
        body = bytes(self._held[: self._expected])
        del self._held[: self._expected]
        self._expected = -1
        self._answer(body)
        return bool(self._held)

    def _answer(self, body: bytes) -> None:
        status, answer = "201 Created", b'{"message":"enqueued"}'
        if self._path == "/counts":
            status, answer = "200 OK", self.counted.as_json()
            _Taking.counted = _Counted()
        elif body:
            self.counted.taken(self._path, body, digests=self.digests)
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        self._transport.write(head.encode() + answer)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Taking, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 (whoever started it reads this)
    await server.serve_forever()


if __name__ == "__main__":
    _Taking.digests = "--digest" in sys.argv
    asyncio.run(_serve())
