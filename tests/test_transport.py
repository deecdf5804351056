"""Real sockets and real TLS: what the wire does, and what the caller sees of it."""

from __future__ import annotations

import base64
import contextlib
import datetime
import gc
import math
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3.util.connection

from kvsfast.connection import HttpResponse
from kvsfast.errors import ConnectFailed, TransportError, TransportTimeout, UsageError
from kvsfast.protocols import Request
from kvsfast.stream import read_short
from kvsfast.transport import HttpTransport
from tests.wire import (
    CHUNKED_HEAD,
    HANG,
    LAST_CHUNK,
    Peer,
    Proxy,
    Script,
    Server,
    authority,
    head,
    http_chunk,
    read_request,
    respond,
)

BODY = b'{"StreamName": "door"}'


def post(url: str, body: bytes = BODY) -> Request:
    return Request("POST", url + "/getMedia", {"Content-Type": "application/json"}, body)


def send(
    transport: HttpTransport, url: str, *, connect_timeout: float = HANG, response_timeout: float = HANG
) -> HttpResponse:
    return transport.send(post(url), connect_timeout=connect_timeout, response_timeout=response_timeout)


def receive(response: HttpResponse, size: int) -> bytes:
    """At least ``size`` raw bytes, as they come, or up to the end."""
    got = bytearray(response.detach())
    window = bytearray(65536)
    while len(got) < size:
        n = response.recv_into(window)
        if not n:
            break
        got += window[:n]
    return bytes(got)


@pytest.fixture(params=["tcp", "tls"])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return authority().server_context() if request.param == "tls" else None


@pytest.fixture
def transport() -> HttpTransport:
    return HttpTransport(verify=authority().bundle, proxies={})


def test_request_and_response_head(transport: HttpTransport, tls: ssl.SSLContext | None) -> None:
    with Server(respond(b"media", x_amzn_RequestId="r-1"), tls=tls) as server:
        response = send(transport, server.url)
        assert (response.status, response.reason, response.length, response.is_chunked) == (
            200,
            "OK",
            5,
            False,
        )
        assert response.headers["X-Amzn-RequestId"] == response.headers.get("x-amzn-requestid") == "r-1"
        assert "CONTENT-LENGTH" in response.headers and "Date" not in response.headers
        assert response.peer == f"127.0.0.1:{server.port}"
        assert (
            set(response.timings) == {"connect", "tls", "first_byte"} and min(response.timings.values()) >= 0
        )
        if tls is None:
            assert response.tls is None and response.timings["tls"] == 0
        else:
            assert response.tls is not None
            assert response.tls[0] == "TLSv1.3" and response.timings["tls"] > 0
        assert receive(response, 5) == b"media"
        response.close()
        response.close()
    (request,) = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/getMedia", BODY)
    assert request.headers["Host"] == f"127.0.0.1:{server.port}"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Content-Length"] == str(len(BODY))


def test_body_bytes_that_came_with_the_head(transport: HttpTransport, tls: ssl.SSLContext | None) -> None:
    more = threading.Event()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(b"early"))
        more.wait(HANG)
        peer.send(http_chunk(b"late") + LAST_CHUNK)
        peer.until_closed()

    with Server(script, tls=tls) as server:
        response = send(transport, server.url)
        early = http_chunk(b"early")
        assert receive(response, len(early)) == early
        assert response.detach() == b""
        more.set()
        assert receive(response, 14) == http_chunk(b"late") + LAST_CHUNK
        response.close()


def test_detach_does_not_wait(transport: HttpTransport, tls: ssl.SSLContext | None) -> None:
    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        peer.until_closed()

    with Server(script, tls=tls) as server:
        response = send(transport, server.url, response_timeout=math.inf)
        assert response.detach() == b""
        response.close()


def test_reading_goes_on_after_a_timeout(transport: HttpTransport, tls: ssl.SSLContext | None) -> None:
    more = threading.Event()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + b"one")
        more.wait(HANG)
        peer.send(b"two")
        peer.until_closed()

    with Server(script, tls=tls) as server:
        response = send(transport, server.url)
        assert receive(response, 3) == b"one"
        response.set_timeout(0.02)
        window = bytearray(100)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                response.recv_into(window)
        more.set()
        response.set_timeout(HANG)
        assert receive(response, 3) == b"two"
        response.close()


def test_shutdown_wakes_a_blocked_reader(transport: HttpTransport, tls: ssl.SSLContext | None) -> None:
    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        peer.until_closed()

    with Server(script, tls=tls) as server:
        response = send(transport, server.url)
        response.detach()
        response.set_timeout(math.inf)
        ended: list[int] = []
        reader = threading.Thread(target=lambda: ended.append(response.recv_into(bytearray(10))))
        reader.start()
        reader.join(0.05)  # most likely it is inside recv by now; the test holds either way
        response.shutdown()
        reader.join(HANG)
        assert ended == [0]
        response.shutdown()
        response.close()


def test_the_body_of_an_error(transport: HttpTransport, tls: ssl.SSLContext | None) -> None:
    def chunked(peer: Peer) -> None:
        peer.send(head("400 Bad Request", Transfer_Encoding="chunked"))
        for piece in (b'{"Mess', b'age": ', b'"no"}'):
            peer.send(http_chunk(piece))
        peer.send(LAST_CHUNK)
        peer.until_closed()

    def endless(peer: Peer) -> None:
        with contextlib.suppress(OSError):  # the client hangs up when it has had enough
            peer.send(head("500 Oops", Transfer_Encoding="chunked") + http_chunk(b"x" * 5000) * 40)
        peer.until_closed()

    def stalled(peer: Peer) -> None:
        peer.send(head("500 Oops", Content_Length="100") + b"part")
        peer.until_closed()

    def cut(peer: Peer) -> None:
        peer.send(head("500 Oops", Transfer_Encoding="chunked") + b"5\r\nab")
        peer.close()

    with Server(chunked, endless, stalled, cut, tls=tls) as server:
        for limit, timeout, expected in (
            (65536, HANG, b'{"Message": "no"}'),
            (65536, HANG, b"x" * 65536),
            (65536, 0.05, b"part"),
            (65536, HANG, b"ab"),
        ):
            assert read_short(send(transport, server.url), limit, timeout) == expected
            transport.close()


def failing(peer_script: Script, **keywords: Any) -> tuple[type[Exception], str]:
    with Server(peer_script) as server, pytest.raises(TransportError) as caught:
        send(HttpTransport(proxies={}), server.url, **keywords)
    return type(caught.value), str(caught.value)


def test_no_answer() -> None:
    kind, text = failing(lambda peer: peer.close())
    assert kind is TransportError and "closed the connection without an answer" in text
    kind, text = failing(lambda peer: peer.reset())
    assert kind is TransportError and "broke before the answer" in text
    kind, text = failing(lambda peer: peer.until_closed(), response_timeout=0.05)
    assert kind is TransportTimeout and "within 0.05 s" in text
    kind, text = failing(lambda peer: peer.send(b"SSH-2.0-nothing\r\n\r\n"))
    assert kind is TransportError and "did not answer in HTTP/1.1" in text


def test_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectFailed, match=rf"127\.0\.0\.1:{port}: .*[Rr]efused.*check host") as caught:
        send(HttpTransport(proxies={}), f"http://127.0.0.1:{port}")
    assert isinstance(caught.value, ConnectionError) and caught.value.retryable
    assert caught.value.__cause__ is not None


def test_a_reset_right_after_the_connect(
    monkeypatch: pytest.MonkeyPatch, transport: HttpTransport, recwarn: pytest.WarningsRecorder
) -> None:
    """It comes before anybody has looked at the new socket, which is closed all the same."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connect = urllib3.util.connection.create_connection

        def connect_and_be_reset(*args: Any, **keywords: Any) -> socket.socket:
            sock = connect(*args, **keywords)
            peer, _ = listener.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            select.select([sock], [], [], HANG)
            return sock

        monkeypatch.setattr(urllib3.util.connection, "create_connection", connect_and_be_reset)
        with pytest.raises(ConnectFailed, match="cannot connect") as caught:
            send(transport, f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert caught.value.retryable
    del caught
    gc.collect()
    assert not [str(warning.message) for warning in recwarn if warning.category is ResourceWarning]


def test_unknown_name() -> None:
    with pytest.raises(
        ConnectFailed, match=r"nowhere\.invalid:80: the name is not known; check host, region"
    ):
        send(HttpTransport(proxies={}), "http://nowhere.invalid")


def test_connect_timeout() -> None:
    """A listener that accepts no more: its queue is full, so connecting goes unanswered."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    queue = [socket.socket() for _ in range(4)]
    for sock in queue:
        sock.setblocking(False)
        sock.connect_ex(address)
    try:
        with pytest.raises(TransportTimeout, match=r"within connect_timeout=0\.1 s"):
            send(HttpTransport(proxies={}), f"http://127.0.0.1:{address[1]}", connect_timeout=0.1)
    finally:
        for sock in [*queue, listener]:
            sock.close()


# -- TLS


def refusal(
    server_context: ssl.SSLContext, transport: HttpTransport, host: str = "127.0.0.1"
) -> ConnectFailed:
    with Server(respond(b""), tls=server_context) as server, pytest.raises(ConnectFailed) as caught:
        send(transport, f"https://{host}:{server.port}")
    assert f"{host}:{server.port}" in str(caught.value)
    return caught.value


def test_tls_refusals(transport: HttpTransport) -> None:
    unknown = refusal(authority().server_context(), HttpTransport(proxies={}))
    assert (
        "certificate was refused" in str(unknown)
        and "AWS_CA_BUNDLE" in str(unknown)
        and not unknown.retryable
    )
    wrong_name = refusal(authority().server_context("other.example"), transport)
    assert "certificate was refused" in str(wrong_name) and "127.0.0.1" in str(wrong_name)
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    expired = refusal(authority().server_context("localhost", not_after=yesterday), transport, "localhost")
    assert "expired" in str(expired) and isinstance(expired.__cause__, ssl.SSLCertVerificationError)


def test_a_port_that_does_not_speak_tls(transport: HttpTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer_in_clear() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    while peer.recv(4096):
                        pass

        server = threading.Thread(target=answer_in_clear)
        server.start()
        with pytest.raises(ConnectFailed, match=r"TLS failed.*check that the port speaks TLS"):
            send(transport, f"https://127.0.0.1:{port}")
        server.join(HANG)


def test_verify_can_be_switched_off() -> None:
    with Server(respond(b"ok"), tls=authority().server_context("other.example")) as server:
        response = send(HttpTransport(verify=False, proxies={}), server.url)
        assert response.status == 200
        response.close()


def test_client_certificate() -> None:
    context = authority().server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    authority().trust(context)
    seen: list[object] = []

    def script(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        seen.append(peer.sock.getpeercert())
        respond(b"")(peer)

    cert = authority().client_cert()
    with Server(script, tls=context) as server:
        response = send(HttpTransport(verify=authority().bundle, client_cert=cert, proxies={}), server.url)
        response.close()
    assert "client.example" in str(seen)


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"verify": "/nowhere/ca.pem"}, "verify: '/nowhere/ca.pem'"),
        ({"client_cert": "/nowhere/c.pem"}, "client_cert: '/no"),
    ],
)
def test_unreadable_certificates(keywords: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        send(HttpTransport(proxies={}, **keywords), "https://127.0.0.1:9")


def test_keepalive_and_nodelay() -> None:
    with Server(respond(b"")) as server:
        for keepalive in (False, True):
            response = send(HttpTransport(proxies={}, tcp_keepalive=keepalive), server.url)
            sock = response._sock
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is keepalive
            response.close()


# -- proxies

SECRET = "Basic " + base64.b64encode(b"me:se cret").decode()


@pytest.fixture(params=["http", "https"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with Proxy(
        authorization=SECRET, tls=authority().server_context() if request.param == "https" else None
    ) as proxy:
        yield proxy


def through(proxy: Proxy, user: str = "me:se%20cret@", **keywords: Any) -> HttpTransport:
    url = proxy.url.replace("://", f"://{user}")
    return HttpTransport(verify=authority().bundle, proxies={"http": url, "https": url}, **keywords)


def test_through_a_proxy(proxy: Proxy, tls: ssl.SSLContext | None) -> None:
    gate = threading.Event()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + b"one")
        gate.wait(HANG)
        peer.send(b"two")
        peer.close()
        peer.until_closed()

    with Server(script, tls=tls) as server:
        response = send(through(proxy), server.url)
        assert receive(response, 3) == b"one"
        response.set_timeout(0.02)
        with pytest.raises(TimeoutError):
            response.recv_into(bytearray(3))
        response.set_timeout(HANG)
        gate.set()
        assert receive(response, 3) == b"two"
        response.close()
    (request,) = server.requests
    assert request.target == "/getMedia" and "Proxy-Authorization" not in request.headers
    (asked,) = proxy.requests
    expected = f"{server.url}/getMedia" if tls is None else f"127.0.0.1:{server.port}"
    assert (asked.method, asked.target) == ("POST" if tls is None else "CONNECT", expected)


def test_a_proxy_that_says_no(proxy: Proxy) -> None:
    with Server(respond(b""), tls=authority().server_context()) as server:
        with pytest.raises(ConnectFailed, match=r"through the proxy 127\.0\.0\.1.*407") as caught:
            send(through(proxy, user="me:wrong@"), server.url)
        assert not caught.value.retryable
        assert "wrong" not in str(caught.value)
        plain = send(through(proxy, user=""), f"http://127.0.0.1:{server.port}")
        assert plain.status == 407
        plain.close()


def test_shutdown_through_tls_in_tls() -> None:
    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        peer.until_closed()

    context = authority().server_context
    with Proxy(tls=context()) as proxy, Server(script, tls=context()) as server:
        response = send(through(proxy, proxies_config={"proxy_ca_bundle": authority().bundle}), server.url)
        response.detach()
        ended: list[object] = []

        def read() -> None:
            try:
                ended.append(response.recv_into(bytearray(10)))
            except OSError as error:
                ended.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        reader.join(0.05)
        response.shutdown()
        reader.join(HANG)
        assert len(ended) == 1
        response.close()


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy() as proxy, Server(respond(b"")) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        send(HttpTransport(), server.url).close()
        assert len(proxy.requests) == 1
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        send(HttpTransport(), server.url).close()
        assert len(proxy.requests) == 1


def test_a_proxy_that_is_no_url() -> None:
    with pytest.raises(UsageError, match="the proxy for http is not a URL"):
        send(HttpTransport(proxies={"http": "ftp://secret@x"}), "http://127.0.0.1:9")


def answers(*responses: bytes) -> Script:
    """One connection that answers several requests; the first was read."""

    def script(peer: Peer) -> None:
        for response in responses:
            peer.send(response)
            if read_request(peer.sock) is None:
                return

    return script


REFUSAL = head("400 Bad Request", Content_Length="2") + b"no"


def refused(transport: HttpTransport, server: Server) -> HttpResponse:
    response = send(transport, server.url)
    assert (response.status, read_short(response, 100, HANG)) == (400, b"no")
    return response


def test_the_connection_of_an_error_serves_the_next_request(
    transport: HttpTransport, tls: ssl.SSLContext | None
) -> None:
    with Server(answers(REFUSAL, REFUSAL, CHUNKED_HEAD), tls=tls) as server, contextlib.closing(transport):
        first, second = refused(transport, server), refused(transport, server)
        assert first.timings["connect"] > 0 and second.timings["connect"] == second.timings["tls"] == 0
        assert first.peer == second.peer and first.tls == second.tls
        media = send(transport, server.url)
        assert media.status == 200 and server.connections == 1
        other = threading.Thread(target=refused, args=(transport, server))
        media.close()
        other.start()
        other.join(HANG)
        assert server.connections == 2  # that of the media was closed, not kept


@pytest.mark.parametrize(
    "refusal",
    [
        head("400 Bad Request", Content_Length="2", Connection="close") + b"no",
        REFUSAL.replace(b"HTTP/1.1", b"HTTP/1.0"),
        REFUSAL + b"HTTP/1.1 200 OK",  # what belongs to no request must not answer the next one
        head("400 Bad Request") + b"no",
    ],
    ids=["close", "1.0", "surplus", "no length"],
)
def test_connections_that_are_not_used_again(transport: HttpTransport, refusal: bytes) -> None:
    def once(peer: Peer) -> None:
        peer.send(refusal)
        peer.close()

    with Server(once) as server, contextlib.closing(transport):
        refused(transport, server)
        refused(transport, server)
        assert server.connections == 2


def test_a_kept_connection_that_ended_is_replaced(transport: HttpTransport) -> None:
    ended = threading.Event()

    def one_answer(peer: Peer) -> None:
        peer.send(REFUSAL)
        ended.wait(HANG)
        peer.reset()

    def ends_while_asked(peer: Peer) -> None:
        peer.send(REFUSAL)
        assert read_request(peer.sock) is not None
        peer.reset()

    with Server(one_answer, ends_while_asked, answers(REFUSAL)) as server, contextlib.closing(transport):
        refused(transport, server)
        ended.set()
        refused(transport, server)
        refused(transport, server)
        assert server.connections == 3


def test_few_unused_connections_are_kept() -> None:
    transport = HttpTransport(proxies={}, max_idle=1)
    with Server(answers(REFUSAL)) as server, contextlib.closing(transport):
        responses = [send(transport, server.url) for _ in range(3)]
        for response in responses:
            read_short(response, 100, HANG)
        assert len(transport._idle._lines) == 1
        transport._idle._lines[0].idle_since -= 100
        refused(transport, server)
        assert server.connections == 4


def test_a_head_that_trickles_in_ends_in_time(transport: HttpTransport, tls: ssl.SSLContext | None) -> None:
    def trickle(peer: Peer) -> None:
        with contextlib.suppress(OSError):  # the client hangs up
            for byte in head("200 OK", X_Long="x" * 100_000):
                peer.send(bytes((byte,)))
                stop.wait(0.01)

    stop = threading.Event()
    with Server(trickle, tls=tls) as server:
        with pytest.raises(TransportTimeout, match=r"no answer from .* within 0\.1 s"):
            send(transport, server.url, response_timeout=0.1)
        stop.set()


def test_heads_that_cannot_be(transport: HttpTransport) -> None:
    scripts = {
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000: "longer than 65536 bytes",
        b"HTTP/1.1 200 OK\r\nX-Cut": "ended after 22 bytes",
        b"SSH-2.0\r\n\r\n": "BadStatusLine",
    }
    for content, text in scripts.items():

        def script(peer: Peer, content: bytes = content) -> None:
            peer.send(content)
            peer.close()

        with Server(script) as server, pytest.raises(TransportError, match=text):
            send(transport, server.url)


def test_interim_responses_are_passed_over(transport: HttpTransport) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"

    def script(peer: Peer) -> None:
        peer.send(interim + CHUNKED_HEAD + http_chunk(b"early"))
        peer.until_closed()

    with Server(script) as server:
        response = send(transport, server.url)
        assert (response.status, response.detach()) == (200, http_chunk(b"early"))
        response.close()


@pytest.mark.parametrize("header", [("X-A", "b\r\nX-B: c"), ("X A", "b"), ("X-A", "\N{SNOWMAN}"), ("X-A", 7)])
def test_headers_that_cannot_be_sent(transport: HttpTransport, header: tuple[str, str]) -> None:
    request = post("http://127.0.0.1:1")
    request.headers.update([header])
    with pytest.raises(UsageError, match="the request cannot be sent"):
        transport.send(request, connect_timeout=1, response_timeout=1)


def test_never_waiting(transport: HttpTransport, tls: ssl.SSLContext | None) -> None:
    more = threading.Event()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        more.wait(HANG)
        peer.send(b"late")
        peer.until_closed()

    with Server(script, tls=tls) as server:
        response = send(transport, server.url)
        response.set_timeout(0)
        window = bytearray(100)
        with pytest.raises(BlockingIOError):
            response.recv_into(window)
        more.set()
        got = 0
        while not got:  # the readiness of a TLS socket may be that of a session ticket
            assert select.select([response.fileno()], [], [], HANG)[0]
            with contextlib.suppress(BlockingIOError):
                got = response.recv_into(window)
        assert window[:got] == b"late"
        response.close()
