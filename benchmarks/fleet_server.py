"""A server of many paced streams that costs little: one loop that tops every connection up to what is due.

``python -m benchmarks.fleet_server RATE TRANSPORT`` prints where it is as JSON, and serves until its stdin
closes. Each connection is a GetMedia response of RATE bytes per second: fragments with rising numbers, an
HTTP chunk for each element. Requests are not looked at; the local service is for that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import media
from benchmarks.job import Server
from benchmarks.machine import ROOT
from kvsfast.emulator.framing import Framing
from kvsfast.emulator.tls import LocalAuthority

#: Seconds between two sends on a connection, for small and for large rates.
PERIODS = 0.1, 0.01
#: Seconds for handshake and request.
OPENING = 60.0
FRAMES_PER_SECOND = 25
#: Seconds of media in a fragment.
FRAGMENT = 2
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: video/webm\r\n\r\n"


@dataclass
class Connection:
    sock: socket.socket
    began: float
    sent: int = 0


class Wire:
    """The endless body: the same fragment with rising numbers, HTTP framing included."""

    def __init__(self, rate: int) -> None:
        frames = [rate // FRAMES_PER_SECOND] * (FRAMES_PER_SECOND * FRAGMENT)
        self._template = Framing("element").frame(media.service_documents([frames]))[0]
        self.lap = functools.lru_cache(maxsize=16)(self._lap)

    def _lap(self, number: int) -> bytes:
        return self._template.replace(b"%047d" % 1, b"%047d" % (number + 1))

    def after(self, sent: int) -> memoryview:
        """From there to the end of its fragment."""
        number, at = divmod(sent, len(self._template))
        return memoryview(self.lap(number))[at:]


class FleetServer:
    def __init__(self, rate: int, context: ssl.SSLContext | None) -> None:
        self._rate = rate
        self._context = context
        self._wire = Wire(rate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[Connection] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock = self._listener.accept()[0]
            threading.Thread(target=self._open, args=(sock,), daemon=True).start()

    def _open(self, sock: socket.socket) -> None:
        """Handshake and request; from then on the loop has it. A slow client keeps nobody waiting."""
        with contextlib.suppress(OSError):
            sock.settimeout(OPENING)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            request = b""
            while not request.endswith(b"}"):
                request += sock.recv(65_536)
            sock.sendall(HEAD)
            sock.setblocking(False)
            self._connections.append(Connection(sock, time.monotonic()))

    def serve(self) -> None:
        """Each connection has its turn in every period, so that they are spread over it."""
        period = PERIODS[0] if self._rate < 1_000_000 else PERIODS[1]
        while True:
            began = time.monotonic()
            connections = list(self._connections)
            for at, connection in enumerate(connections):
                ahead = began + period * at / len(connections) - time.monotonic()
                if ahead > 0.001:
                    time.sleep(ahead)
                try:
                    self._top_up(connection)
                except OSError:
                    connection.sock.close()
                    self._connections.remove(connection)
            time.sleep(max(0.0, began + period - time.monotonic()))

    def _top_up(self, connection: Connection) -> None:
        due = int(self._rate * (time.monotonic() - connection.began)) - connection.sent
        while due > 0:
            piece = self._wire.after(connection.sent)[:due]
            try:
                sent = connection.sock.send(piece)
            except (BlockingIOError, ssl.SSLWantWriteError):
                return
            connection.sent += sent
            due -= sent


@contextlib.contextmanager
def fleet_server(rate: int, transport: str) -> Iterator[Server]:
    """In a process of its own, as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.fleet_server", str(rate), transport]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdin and process.stdout
        yield Server(**json.loads(process.stdout.readline()))
        process.stdin.close()


def main() -> None:
    rate, transport = int(sys.argv[1]), sys.argv[2]
    authority = LocalAuthority() if transport == "tls" else None
    server = FleetServer(rate, authority.server_context if authority else None)
    url = f"{'https' if authority else 'http'}://127.0.0.1:{server.port}"
    ca = authority.certificate_path if authority else None
    place = Server(url, url, "us-east-1", "key", "secret", ca, "")
    print(json.dumps(dataclasses.asdict(place)), flush=True)
    threading.Thread(target=server.serve, daemon=True).start()
    sys.stdin.read()
    if authority:
        authority.close()


if __name__ == "__main__":
    main()
