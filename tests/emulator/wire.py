"""Reading what the service wrote, by means that share nothing with the service's own code."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

# The templates of the service's tags; sizes that depend on the values are captured and checked.
_BEFORE = re.compile(
    rb"\x12\x54\xC3\x67\x10\x00\x00(?P<tags>.)\x73\x73\x10\x00\x00(?P<tag>.)"
    rb"\x67\xC8\x10\x00\x00\x5B\x45\xA3\x10\x00\x00\x20AWS_KINESISVIDEO_FRAGMENT_NUMBER\x44\x87\x10\x00\x00\x2F(?P<number>\d{47})"
    rb"\x67\xC8\x10\x00\x00(?P<s1>.)\x45\xA3\x10\x00\x00\x21AWS_KINESISVIDEO_SERVER_TIMESTAMP\x44\x87\x10\x00\x00(?P<s2>.)(?P<server>\d+\.\d{3})"
    rb"\x67\xC8\x10\x00\x00(?P<p1>.)\x45\xA3\x10\x00\x00\x23AWS_KINESISVIDEO_PRODUCER_TIMESTAMP\x44\x87\x10\x00\x00(?P<p2>.)(?P<producer>\d+\.\d{3})",
    re.DOTALL,
)
_AFTER = re.compile(
    rb"\x12\x54\xC3\x67\x10\x00\x00(?P<tags>.)\x73\x73\x10\x00\x00(?P<tag>.)"
    rb"\x67\xC8\x10\x00\x00(?P<b1>.)\x45\xA3\x10\x00\x00\x22AWS_KINESISVIDEO_MILLIS_BEHIND_NOW\x44\x87\x10\x00\x00(?P<b2>.)(?P<behind>\d+)"
    rb"\x67\xC8\x10\x00\x00(?P<t1>.)\x45\xA3\x10\x00\x00\x23AWS_KINESISVIDEO_CONTINUATION_TOKEN\x44\x87\x10\x00\x00(?P<t2>.)(?P<token>[a-zA-Z0-9_.-]+)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Document:
    """One fragment as it came: the producer's bytes before and after the tags, and the service's values."""

    head: bytes
    media: bytes
    number: str
    server_ms: int
    producer_ms: int
    millis_behind_now: int
    token: str


def _ms(text: bytes) -> int:
    return int(text.replace(b".", b""))


def _check_sizes(match: re.Match[bytes], *values: tuple[str, str, str, int]) -> None:
    for outer, inner, value, overhead in values:
        assert match[inner][0] == len(match[value])
        assert match[outer][0] == len(match[value]) + overhead
    assert match["tag"][0] == match.end() - match.start() - 14
    assert match["tags"][0] == match.end() - match.start() - 8


def dissect(body: bytes) -> list[Document]:
    """The documents of a GetMedia body that ends with a trailer. Every byte of the tags is checked."""
    documents = []
    at = 0
    while at < len(body):
        before = _BEFORE.search(body, at)
        assert before is not None, f"no tags in front of a Cluster after byte {at} of {len(body)}"
        _check_sizes(before, ("s1", "s2", "server", 45), ("p1", "p2", "producer", 47))
        after = _AFTER.search(body, before.end())
        assert after is not None, f"no trailer after byte {before.end()} of {len(body)}"
        _check_sizes(after, ("b1", "b2", "behind", 46), ("t1", "t2", "token", 47))
        documents.append(
            Document(
                body[at : before.start()],
                body[before.end() : after.start()],
                before["number"].decode(),
                _ms(before["server"]),
                _ms(before["producer"]),
                int(after["behind"]),
                after["token"].decode(),
            )
        )
        at = after.end()
    return documents


def http_chunks(raw: bytes) -> list[bytes]:
    """The HTTP chunks of a chunked body, which must end with the terminal one and nothing after it."""
    chunks: list[bytes] = []
    at = 0
    while True:
        data = raw.index(b"\r\n", at) + 2
        end = data + int(raw[at : data - 2], 16)
        assert raw[end : end + 2] == b"\r\n"
        if data == end:
            assert end + 2 == len(raw)
            return chunks
        chunks.append(raw[data:end])
        at = end + 2


def read_all(sock: socket.socket) -> bytes:
    """Everything until the other side ends the connection."""
    received = bytearray()
    while block := sock.recv(65536):
        received += block
    return bytes(received)
