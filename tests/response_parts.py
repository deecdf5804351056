"""What every byte of a GetMedia response is: framing of HTTP, header of an element, frame, trailer ...

A small decoder of the test tools' own, for responses that are broken off at a chosen part. It takes the bytes
in any pieces, and trusts what the local service writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

#: Framing of HTTP: the head, the size line of an HTTP chunk, the CRLF after its data, the chunk of size 0 and
#: what follows it; and the whole body of a response that has none. Media: the header of an element, the
#: content of a block, of the tags before a Cluster, of those after it, and of any other element.
Framing = Literal["head", "size", "crlf", "last", "body"]
Media = Literal["header", "frame", "tags", "trailer", "other"]
#: And bytes that cannot be looked into, since they are TLS'.
Part = Framing | Media | Literal["sealed"]
MEDIA: frozenset[str] = frozenset(get_args(Media))


class Span(NamedTuple):
    """Bytes of one part, the ``nth`` of its kind in the response. It had ``at`` bytes before them;
    ``ends``: it has none after."""

    part: Part
    data: bytes
    nth: int
    at: int
    ends: bool


class _Spans:
    """Counts the parts of one layer, of which one is open at a time."""

    def __init__(self) -> None:
        self._counts: Counter[Part] = Counter()
        self._at = 0

    def span(self, part: Part, data: bytes, *, ends: bool) -> Span:
        span = Span(part, data, self._counts[part], self._at, ends)
        self._at = 0 if ends else self._at + len(data)
        self._counts[part] += ends
        return span


class SealedResponse:
    """One that passes inside TLS: a single part without an end."""

    def __init__(self) -> None:
        self._spans = _Spans()

    def feed(self, data: bytes) -> Iterator[Span]:
        """The one span of a piece."""
        yield self._spans.span("sealed", data, ends=False)


class ChunkedResponse:
    """Responses with HTTP chunks (RFC 9112, section 7.1), or with a Content-Length, one after the other."""

    def __init__(self) -> None:
        self._state: Framing | Literal["data"] = "head"
        self._line = b""
        self._head: list[bytes] = []
        self._left = 0
        self._spans = _Spans()
        self._walk = _MediaWalk()

    def feed(self, data: bytes) -> Iterator[Span]:
        """The spans of a piece, in order; together they are the piece."""
        at = 0
        while at < len(data):
            if self._state == "data":
                piece = self._counted(data, at, then="crlf", left=2)
                yield from self._walk.feed(piece)
            elif self._state == "crlf":
                piece = self._counted(data, at, then="size")
                yield self._spans.span("crlf", piece, ends=not self._left)
            elif self._state == "body":
                piece = self._counted(data, at, then="head")
                yield self._spans.span("body", piece, ends=not self._left)
            else:
                piece, part, ends = self._lines(data, at)
                yield self._spans.span(part, piece, ends=ends)
            at += len(piece)

    def _counted(self, data: bytes, at: int, *, then: Framing, left: int = 0) -> bytes:
        """What there is of the bytes that are left; after the last of them comes ``then``, with its own."""
        piece = data[at : at + self._left]
        self._left -= len(piece)
        if not self._left:
            self._state, self._left = then, left
        return piece

    def _lines(self, data: bytes, at: int) -> tuple[bytes, Framing, bool]:
        """What there is of a head, of a size line or of the last chunk; which it is; whether it ends."""
        state = self._state
        assert state != "data"
        newline = data.find(b"\n", at)
        piece = data[at:] if newline < 0 else data[at : newline + 1]
        self._line += piece
        if state == "size" and self._line.startswith(b"0"):
            state = self._state = "last"
        if newline < 0:
            return piece, state, False
        line, self._line = self._line, b""
        if state == "size":
            try:
                self._state, self._left = "data", int(line.partition(b";")[0], 16)
            except ValueError:  # the service has broken its framing on purpose; there are no parts any more
                self._state, self._left = "body", 1 << 62
            return piece, state, True
        is_over = line == b"\r\n"
        if state == "head":
            self._head.append(line.lower())
            if is_over:
                self._head_ends()
        elif is_over:
            self._state = "head"
        return piece, state, is_over

    def _head_ends(self) -> None:
        """What follows it, by its lines."""
        head, self._head = self._head, []
        lengths = [int(line[15:]) for line in head if line.startswith(b"content-length:")]
        if any(lengths):
            self._state, self._left = "body", lengths[0]
        elif not lengths:
            self._state = "size"


#: IDs of masters, which are gone into; what else there is, is one content (RFC 9559).
_MASTERS = frozenset(
    bytes.fromhex(each)
    for each in [
        "1A45DFA3",
        "18538067",
        "1549A966",
        "1654AE6B",
        "AE",
        "1254C367",
        "7373",
        "67C8",
        "1F43B675",
        "A0",
        "114D9B74",
        "4DBB",
    ]
)
_EBML, _TAGS, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x12\x54\xc3\x67", b"\x1f\x43\xb6\x75"
_INSIDE_TAGS = frozenset((b"\x73\x73", b"\x67\xc8"))
_BLOCKS = frozenset((b"\xa3", b"\xa1"))


class _MediaWalk:
    """Elements in a row: the header of each, and the content of those that are no masters.

    Masters are gone into without asking where they end, so that an unknown size is no matter.
    """

    def __init__(self) -> None:
        self._header = bytearray()
        self._left = 0
        self._part: Media = "other"
        self._has_cluster = False
        self._in_tags = False
        self._spans = _Spans()

    def feed(self, data: bytes) -> Iterator[Span]:
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                yield self._spans.span(self._part, piece, ends=not self._left)
            else:
                piece = data[at : at + 1]
                self._header += piece
                yield self._spans.span("header", piece, ends=self._take_header())
            at += len(piece)

    def _take_header(self) -> bool:
        """Whether the header is whole; then what follows it is known."""
        id_size = 9 - self._header[0].bit_length()
        if len(self._header) <= id_size:
            return False
        size_size = 9 - self._header[id_size].bit_length()
        if len(self._header) < id_size + size_size:
            return False
        element = bytes(self._header[:id_size])
        size = int.from_bytes(self._header[id_size:], "big") & ((1 << 7 * size_size) - 1)
        self._header.clear()
        if element in _MASTERS:
            self._in_tags = element == _TAGS or (self._in_tags and element in _INSIDE_TAGS)
            self._has_cluster = element == _CLUSTER or (self._has_cluster and element != _EBML)
            return True
        self._left = size
        if element in _BLOCKS:
            self._part = "frame"
        elif self._in_tags:
            self._part = "trailer" if self._has_cluster else "tags"
        else:
            self._part = "other"
        return True
