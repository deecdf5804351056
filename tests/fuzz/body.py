"""HTTP chunked bodies, legal or wounded, in pieces, against a decoder that has the whole body before it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from kvsfast._native.chunked import BodyDecoder, ReceiveBuffer
from kvsfast.errors import TransportError

MAX_EXTENSION, MAX_TRAILER, MAX_OVERHEAD = 20, 60, 60

# RFC 9112, section 7.1, with text that has no control characters but tabs.
SIZE_LINE = re.compile(rb"(0*)([0-9A-Fa-f]{0,15})([ \t;][^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
TRAILER = re.compile(rb"((?:[^\x00-\x08\x0a-\x1f\x7f]+\r\n)*)\r\n")


def decode(body: bytes) -> tuple[bytes, int | None]:
    """The payload, and the bytes of the body that it took: None if the body is broken or cut."""
    payload, overhead, pos = b"", 0, 0
    while line := SIZE_LINE.match(body, pos):
        zeros, digits, extension = (len(part or b"") for part in line.groups())
        overhead += zeros + extension
        if zeros + digits == 0 or zeros + extension > MAX_EXTENSION:
            break
        if overhead > max(MAX_OVERHEAD, len(payload)):
            break
        pos = line.end()
        size = int(line[1] + line[2], 16)
        if size == 0:
            trailer = TRAILER.match(body, pos)
            if trailer is None or len(trailer[1].replace(b"\r\n", b"")) > MAX_TRAILER:
                break
            return payload, trailer.end()
        payload += body[pos : pos + size]
        pos += size
        if body[pos : pos + 2] != b"\r\n":
            break
        pos += 2
    return payload, None


@dataclass(frozen=True)
class BodyCase:
    """``cuts``: offsets at which the body is cut into the pieces that arrive."""

    data: bytes
    cuts: tuple[int, ...] = ()

    def check(self) -> None:
        buffer = ReceiveBuffer()
        decoder = BodyDecoder(
            buffer,
            chunked=True,
            max_extension=MAX_EXTENSION,
            max_trailer=MAX_TRAILER,
            max_overhead=MAX_OVERHEAD,
        )
        payload, used, start = b"", None, 0
        try:
            for end in (*self.cuts, len(self.data)):
                try:
                    decoder.feed(self.data[start:end])
                finally:
                    payload += buffer.take(1 << 30)
                start = end
            decoder.receive_eof()
            used = decoder.wire_bytes
        except TransportError:
            assert not decoder.is_complete
        assert (payload, used) == decode(self.data)


def make(dice: random.Random) -> BodyCase:
    body = b""
    for _ in range(dice.choice([0, 1, 5, 30])):
        piece = dice.randbytes(dice.choice([1, 13, 33, 300, 5000]))
        zeros = b"0" * dice.choice([0, 0, 0, 0, 0, 2])
        extension = dice.choice([b"", b"", b"", b"", b"", b";a=b", b" \t", b';"q"'])
        size = b"%x" % len(piece)
        body += zeros + dice.choice([size, size.upper()]) + extension + b"\r\n" + piece + b"\r\n"
    body += b"0\r\n" + dice.choice([b"", b"", b"A: b\r\n", b"A: b\r\nC:\td\r\n"]) + b"\r\n"
    body += dice.choice([b"", b"", b"HTTP/1.1 200 OK\r\n"])
    for _ in range(dice.choice([0, 0, 1, 1, 2])):
        body = wound(dice, body)
    many = dice.choice([0, 1, 3, 30, len(body)])
    return BodyCase(body, tuple(sorted({dice.randint(0, len(body)) for _ in range(many)})))


TELLING = [
    b"\r",
    b"\n",
    b"\r\n",
    b"0",
    b"5",
    b"f",
    b"G",
    b";",
    b" ",
    b"\0",
    b"\x7f",
    b"\xff",
    b"0\r\n\r\n",
    b"0" * 25,
]


def wound(dice: random.Random, body: bytes) -> bytes:
    # Where framing is, for most of a body is payload, in which nothing can break.
    framing = [found.start() for found in re.finditer(rb"\r\n", body)]
    start = min(len(body), max(0, dice.choice(framing or [0]) + dice.randint(-4, 6)))
    end = min(len(body), start + dice.choice([1, 1, 2, 9]))
    match dice.choice(["set", "insert", "drop", "cut", "repeat"]):
        case "set":
            return body[:start] + dice.choice(TELLING) + body[end:]
        case "insert":
            return body[:start] + dice.choice(TELLING) + body[start:]
        case "drop":
            return body[:start] + body[end:]
        case "cut":
            return body[:start]
    return body[:end] + body[start:end] + body[end:]
