"""TlsSocket against real TLS: the server's side is an SSLObject whose bytes the tests cut as they like, or
OpenSSL's own server."""

from __future__ import annotations

import array
import contextlib
import fcntl
import random
import select
import shutil
import socket
import ssl
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kvsfast.tls import RECEIVE, TlsSocket
from tests.wire import HANG, authority

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Peer:
    """The server's end: ``sock``, and what makes and reads its records."""

    def __init__(self, sock: socket.socket, version: ssl.TLSVersion, **details: Any) -> None:
        context = authority().server_context(**details)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["http/1.1"])
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def shake_hands(self) -> None:
        self._through(self._tls.do_handshake)

    def read(self, size: int) -> bytes:
        data: bytes = self._through(lambda: self._tls.read(size))
        return data

    def _through(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.flush()
                received = self.sock.recv(65536)
                if not received:
                    self._incoming.write_eof()
                self._incoming.write(received)
                continue
            except ssl.SSLError:
                self.flush()
                raise
            self.flush()
            return result

    def flush(self) -> None:
        self.sock.sendall(self._outgoing.read())

    def records(self, data: bytes) -> bytes:
        """As ciphertext, not sent."""
        at = 0
        while at < len(data):
            at += self._tls.write(data[at:])
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        self.sock.sendall(self.records(data))

    def notice(self) -> bytes:
        """close_notify."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()

    def alert(self) -> bytes:
        """What is answered to a record that is none."""
        self._incoming.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError):
            self._tls.read(1)
        return self._outgoing.read()


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    authority().trust(context)
    return context


def sockets() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), HANG)
        theirs, _ = listener.accept()
    theirs.settimeout(HANG)
    return ours, theirs


@contextlib.contextmanager
def connected(version: ssl.TLSVersion, **details: Any) -> Iterator[tuple[TlsSocket, Peer]]:
    ours, theirs = sockets()
    peer = Peer(theirs, version, **details)
    server = threading.Thread(target=peer.shake_hands)
    server.start()
    with theirs, TlsSocket(ours, client_context(), server_hostname="localhost") as sock:
        server.join(HANG)
        yield sock, peer


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    return VERSIONS[request.param]


@pytest.fixture
def both(version: ssl.TLSVersion) -> Iterator[tuple[TlsSocket, Peer]]:
    with connected(version) as pair:
        yield pair


def arrived(sock: TlsSocket, size: int) -> None:
    """Wait until so many bytes lie in the kernel's buffer."""
    sock.socket.setblocking(True)
    sock.socket.settimeout(HANG)
    while len(sock.socket.recv(size, socket.MSG_PEEK)) < size:
        pass
    sock.socket.settimeout(None)


def noise(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


# -- receiving


def test_many_records_come_in_one_receive(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    data = noise(60_000)
    wire = peer.records(data)
    peer.sock.sendall(wire)
    arrived(sock, len(wire))
    buffer = bytearray(RECEIVE)
    assert sock.recv_into(buffer) == len(data) and buffer[: len(data)] == data
    assert sock.pending() == 0


def test_an_amount_is_not_exceeded(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    peer.send(b"abcdef")
    buffer = bytearray(b"......")
    assert sock.recv_into(buffer, 2) == 2 and buffer == b"ab...."
    assert sock.pending() == 4
    assert sock.recv_into(memoryview(buffer)[:0]) == 0
    assert sock.recv(3) == b"cde"
    assert sock.recv_into(buffer, 100) == 1
    assert sock.pending() == 0


def test_byte_by_byte_without_waiting(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    sock.settimeout(0)
    buffer = bytearray(100)
    for text in (b"first", b"second"):
        wire = peer.records(text)
        for at in range(len(wire)):
            with pytest.raises(BlockingIOError):
                sock.recv_into(buffer)
            assert sock.pending() == 0
            peer.sock.sendall(wire[at : at + 1])
            assert select.select([sock], [], [], HANG)[0]
        assert sock.recv_into(buffer) == len(text) and buffer.startswith(text)


@pytest.mark.parametrize("seed", range(6))
def test_any_cut_and_any_buffer(version: ssl.TLSVersion, seed: int) -> None:
    """A loop of readiness that asks again only when something is pending or the socket is readable."""
    dice = random.Random(seed)
    data = noise(700_000, seed)
    largest = dice.choice([50, 3000, 16_384, 40_000])
    with connected(version) as (sock, peer):

        def serve() -> None:
            at = 0
            while at < len(data):
                piece = data[at : at + dice.randint(1, largest * 3)]
                at += len(piece)
                wire = peer.records(piece)
                cut = dice.randint(0, len(wire))
                peer.sock.sendall(wire[:cut])
                peer.sock.sendall(wire[cut:])
            peer.sock.sendall(peer.notice())

        server = threading.Thread(target=serve)
        server.start()
        sock.settimeout(0)
        got = bytearray()
        sizes = random.Random(seed)
        buffer = bytearray(200_000)
        while True:
            if not sock.pending():
                assert select.select([sock], [], [], HANG)[0]
            try:
                n = sock.recv_into(buffer, sizes.randint(1, largest))
            except BlockingIOError:
                continue
            if not n:
                break
            got += buffer[:n]
        server.join(HANG)
        assert got == data


def test_what_was_received_last_is_not_waited_for(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    sock.settimeout(HANG)
    got = b""
    peer.send(noise(20_000))
    while len(got) < 20_000:
        got += sock.recv(1000)
    assert got == noise(20_000)


def test_a_wait_ends_in_time_and_may_be_repeated(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    wire = peer.records(b"late")
    peer.sock.sendall(wire[:-1])
    sock.settimeout(0.02)
    assert sock.gettimeout() == 0.02
    for _ in range(3):
        with pytest.raises(TimeoutError):
            sock.recv(10)
    peer.sock.sendall(wire[-1:])
    sock.settimeout(None)
    assert sock.recv(10) == b"late"


def test_shutdown_wakes_a_receive(both: tuple[TlsSocket, Peer]) -> None:
    sock, _ = both
    waker = threading.Timer(0.05, sock.shutdown, [socket.SHUT_RDWR])
    waker.start()
    assert sock.recv(10) == b""
    waker.join()


# -- sending


def test_sending_more_than_the_kernel_takes_at_once(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    data = noise(5_000_000)
    got = bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(peer.read(65536))

    server = threading.Thread(target=read)
    server.start()
    sock.sendall(data)
    server.join(HANG)
    assert got == data


def test_sending_ends_in_time(both: tuple[TlsSocket, Peer]) -> None:
    sock, _ = both
    sock.settimeout(0.02)
    with pytest.raises(TimeoutError):
        sock.sendall(bytes(50_000_000))


# -- ends


def test_a_clean_end(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    peer.sock.sendall(peer.records(b"all") + peer.notice())
    assert sock.recv(100) == b"all"
    assert sock.recv(100) == sock.recv(100) == b""


@pytest.mark.parametrize("lacking", [0, 1])
def test_an_end_without_notice_is_an_error(both: tuple[TlsSocket, Peer], lacking: int) -> None:
    """Whoever sits on the way can end a TCP connection, at the end of a record or inside it."""
    sock, peer = both
    wire = peer.records(b"some") + peer.records(b"more")
    peer.sock.sendall(wire[: len(wire) - lacking])
    peer.sock.close()
    got = sock.recv(100)
    assert got == (b"some" if lacking else b"somemore")
    for _ in range(2):
        with pytest.raises(ssl.SSLEOFError, match="close_notify"):
            sock.recv(100)


def test_a_reset(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()
    with pytest.raises(ConnectionResetError):
        sock.recv(100)


def test_an_alert(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    peer.sock.sendall(peer.records(b"before") + peer.alert())
    assert sock.recv(100) == b"before"
    for _ in range(2):
        with pytest.raises(ssl.SSLError, match="ALERT") as caught:
            sock.recv(100)
        assert not isinstance(caught.value, ssl.SSLEOFError)


def test_a_forged_record(both: tuple[TlsSocket, Peer]) -> None:
    sock, peer = both
    forged = bytearray(peer.records(b"before") + peer.records(b"after"))
    forged[-1] ^= 1
    peer.sock.sendall(forged)
    assert sock.recv(100) == b"before"
    for _ in range(2):
        with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
            sock.recv(100)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert.bad.record.mac"):  # it was told why
        peer.read(1)


# -- the handshake


def test_what_is_known_of_the_connection(both: tuple[TlsSocket, Peer], version: ssl.TLSVersion) -> None:
    sock, _ = both
    name = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert sock.version() == name
    cipher = sock.cipher()
    assert cipher is not None and cipher[2] >= 128
    assert sock.selected_alpn_protocol() == "http/1.1"
    assert ("DNS", "localhost") in sock.getpeercert()["subjectAltName"]
    assert sock.fileno() == sock.socket.fileno()


def failing(theirs: Callable[[socket.socket], None], **details: Any) -> None:
    """A handshake that the other side spoils; our socket must be closed then."""
    context = client_context()
    ours, other = sockets()
    ours.settimeout(details.pop("timeout", HANG))
    server = threading.Thread(target=theirs, args=[other])
    server.start()
    with other:
        try:
            TlsSocket(ours, context, **{"server_hostname": "localhost", **details})
        finally:
            server.join(HANG)
            assert ours.fileno() == -1


def refused(sock: socket.socket) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        Peer(sock, ssl.TLSVersion.TLSv1_2).shake_hands()


def test_a_certificate_for_another_name() -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        failing(refused, server_hostname="elsewhere.example")


def test_a_peer_that_does_not_speak_tls() -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version"):
        failing(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))


def test_a_peer_that_hangs_up() -> None:
    with pytest.raises(ssl.SSLEOFError):
        failing(lambda sock: sock.shutdown(socket.SHUT_WR))


def test_a_silent_peer() -> None:
    with pytest.raises(TimeoutError):
        failing(lambda sock: None, timeout=0.02)


def test_a_handshake_needs_a_socket_that_waits() -> None:
    with pytest.raises(ValueError, match="may wait"):
        failing(lambda sock: None, timeout=0)


# -- what OpenSSL's own server does in the middle of a stream


@contextlib.contextmanager
def openssl_server(*options: str) -> Iterator[tuple[TlsSocket, Callable[[str], None]]]:
    """A connection to ``openssl s_server``, and what it is told on its stdin: a line is sent, but that of a
    single letter is a command (openssl-s_server(1))."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs the openssl program")
    command = [program, "s_server", "-accept", "127.0.0.1:0", "-cert", authority().client_cert()]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, *options], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as server:
        try:
            assert server.stdin and server.stdout
            while not (told := server.stdout.readline()).startswith(b"ACCEPT"):
                assert told, "openssl has ended"
            port = int(told.rpartition(b":")[2])
            drain = threading.Thread(target=server.stdout.read)
            drain.start()
            ours = socket.create_connection(("127.0.0.1", port), HANG)
            stdin = server.stdin

            def tell(line: str) -> None:
                stdin.write(f"{line}\n".encode())
                stdin.flush()
                unread = array.array("i", [1])
                while unread[0]:  # it takes what it reads at once for one line
                    fcntl.ioctl(stdin, termios.FIONREAD, unread)

            with TlsSocket(ours, client_context(), server_hostname="client.example") as sock:
                yield sock, tell
        finally:
            server.kill()
        drain.join(HANG)


def receive(sock: TlsSocket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        piece = sock.recv(size - len(got))
        assert piece
        got += piece
    return got


@pytest.mark.parametrize(
    ("options", "letter"),
    [(["-tls1_3"], "k"), (["-tls1_3"], "K"), (["-tls1_2"], "r")],
    ids=["key update", "key update, asked of both", "renegotiation"],
)
def test_new_keys_in_the_middle(options: list[str], letter: str) -> None:
    with openssl_server(*options) as (sock, tell):
        for turn in range(3):
            tell(f"line {turn}")
            assert receive(sock, 7) == f"line {turn}\n".encode()
            tell(letter)
            tell(f"more {turn}")
            assert receive(sock, 7) == f"more {turn}\n".encode()
            sock.sendall(b"heard\n")  # under the new keys
