"""What the first frame needs: the import, and the round trips of the first GetMedia.

A proxy of our own stands before each endpoint, and passes on in turns: what the client says until it is
silent, then what the server answers. Each turn is a round trip that the client waits for. Opening the TCP
connection is one more, which no byte shows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from urllib.parse import urlsplit

import kvsfast
from benchmarks.contenders.ours import client_of
from benchmarks.job import Server
from benchmarks.machine import ROOT
from benchmarks.server import TRANSPORTS, serving

__all__ = ["FirstCall", "Import", "first_calls", "imports"]

#: Seconds without a byte after which the client is taken to wait for an answer.
SILENCE = 0.5
MUCH = 65_536
#: Of a handshake of TLS 1.3, RFC 8446 section 2.
TLS_ROUND_TRIPS = 1
MODULES = ("kvsfast", "botocore.exceptions", "boto3")
_TIMED = "import time; began = time.process_time(); import {}; print(time.process_time() - began)"


@dataclass(frozen=True)
class Import:
    """CPU milliseconds in a new process, the interpreter's own start left out."""

    module: str
    median_ms: float
    best_ms: float


def imports(rounds: int, modules: Sequence[str] = MODULES) -> list[Import]:
    """In turns, after one round that fills the page cache."""
    took: dict[str, list[float]] = {module: [] for module in modules}
    for turn in range(rounds + 1):
        for module in modules:
            command = [sys.executable, "-c", _TIMED.format(module)]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
            if turn:
                took[module].append(1000 * float(done.stdout))
    return [Import(module, median(ms), min(ms)) for module, ms in took.items()]


# -- the first call


@dataclass(frozen=True)
class FirstCall:
    """Until the first frame. ``control_calls``: connections to the control plane. ``connections``: to the
    data endpoint. ``round_trips``: on all connections, of which ``handshake`` belong to TLS."""

    transport: str
    control_calls: int
    connections: int
    round_trips: int
    handshake: int


class CountingProxy:
    """Passes one connection after another on to ``target``, and counts turns."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = self.round_trips = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            with client, socket.create_connection(self._target) as server:
                self._pass(client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """All that one side has to say, then all that the other answers. The client's is passed on when it is
        silent: it waits."""
        with contextlib.suppress(OSError):
            while asked := _gather(client):
                server.sendall(asked)
                self.round_trips += 1
                while client not in select.select([client, server], [], [])[0]:
                    if not (answer := server.recv(MUCH)):
                        return
                    client.sendall(answer)


def _gather(sock: socket.socket) -> bytes:
    """What comes until nothing does for a while, or until there is much; b"" at the end."""
    gathered = sock.recv(MUCH)
    while gathered and len(gathered) < MUCH and _is_readable(sock):
        more = sock.recv(MUCH)
        if not more:
            break
        gathered += more
    return gathered


def _is_readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], SILENCE)[0])


def first_calls() -> list[FirstCall]:
    """A client that knows its data endpoint, from its making to the first frame."""
    with serving(["1080p"]) as servers:
        return [_first_call(servers["1080p", transport], transport) for transport in TRANSPORTS]


def _first_call(server: Server, transport: str) -> FirstCall:
    media = urlsplit(server.media_endpoint_url)
    control = urlsplit(server.endpoint_url)
    before_media = CountingProxy((media.hostname or "", media.port or 0))
    before_control = CountingProxy((control.hostname or "", control.port or 0))
    through = dataclasses.replace(
        server,
        media_endpoint_url=f"{media.scheme}://{media.hostname}:{before_media.port}",
        endpoint_url=f"{control.scheme}://{control.hostname}:{before_control.port}",
    )
    try:
        with client_of(through).get_media(through.stream, kvsfast.StartSelector.earliest()) as stream:
            next(stream.frames())
            connections, trips = before_media.connections, before_media.round_trips
    finally:
        before_media.close()
        before_control.close()
    handshake = TLS_ROUND_TRIPS if transport == "tls" else 0
    return FirstCall(transport, before_control.connections, connections, trips, handshake)
