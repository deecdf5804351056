"""``parse``: media from anywhere but a GetMedia call of ours: bytes, files, iterables, boto3's responses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from kvsfast._native.chunked import ReceiveBuffer
from kvsfast.errors import TransportError, UsageError
from kvsfast.model import Limits
from kvsfast.read_ahead import Source
from kvsfast.stream import MediaReader

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["parse"]

PIECE = 64 * 1024


class BinaryFile(Protocol):
    """A binary file: it needs ``readinto`` or ``read``. ``readinto1``/``read1`` are preferred, since they do
    not wait until the amount is full."""

    def read(self, size: int, /) -> bytes: ...


def parse(
    source: Buffer | str | os.PathLike[str] | BinaryFile | Iterable[Buffer],
    *,
    strict: bool = False,
    limits: Limits | None = None,
    trailer: bool | None = None,
    resync: bool = False,
) -> MediaReader:
    """Read media from ``source``: Kinesis Video documents one after another, or plain Matroska/WebM.

    ``source``: bytes or any buffer; the path of a file; a binary file object (not closed by us); an iterable
    of bytes; or boto3's StreamingBody, e.g. the Payload of ``get_media``, read without waiting for full
    buffers. ``bytes`` are read where they are: frames and fragments that look into them keep them alive; what
    could change is copied first. ``strict``: a source that ends inside an element raises TruncatedMedia.
    ``limits``: see :class:`kvsfast.Limits`. ``trailer``: whether fragments end with the service's
    continuation token (GetMedia: True, GetMediaForFragmentList: False); None learns it from the first ones.
    ``resync``: after damage go on at the next EBML header or Cluster instead of raising; ``events()`` then
    gives each MediaError in its place.

    UsageError: ``source`` is none of these. OSError: the file cannot be read.
    """
    return MediaReader(_source(source), strict=strict, limits=limits, trailer=trailer, resync=resync)


def _source(source: Any) -> Source:
    if isinstance(source, str | os.PathLike):
        return FileSource(open(source, "rb", buffering=0), owned=True)
    try:
        return BytesSource(memoryview(source))
    except TypeError:
        pass
    if hasattr(source, "iter_chunks") and hasattr(source, "set_socket_timeout"):
        return StreamingBodySource(source)
    if hasattr(source, "readinto") or hasattr(source, "read"):
        return FileSource(source, owned=False)
    if isinstance(source, Iterable):
        return IterableSource(source)
    raise UsageError(
        f"source is a {type(source).__name__}, expected bytes, a path, a binary file, an iterable of bytes, "
        "or boto3's StreamingBody"
    )


class BytesSource:
    """Bytes that are there already: read where they are if they cannot change, else copied in a window at a
    time."""

    def __init__(self, data: memoryview) -> None:
        self._rest = data.cast("B") if data.c_contiguous and data.nbytes else memoryview(data.tobytes())

    def attach(self, buffer: ReceiveBuffer) -> None:
        self._buffer = buffer

    def fill(self) -> bool:
        if not self._rest:
            return False
        if self._buffer.borrow(self._rest):
            self._rest = memoryview(b"")
            return True
        with memoryview(self._buffer) as window:
            size = min(len(window), len(self._rest))
            window[:size] = self._rest[:size]
        self._buffer.commit(size)
        self._rest = self._rest[size:]
        return True

    def shutdown(self) -> None:
        pass

    def close(self) -> None:
        self._rest = memoryview(b"")


class FileSource:
    """A binary file, read straight into the buffer where it can."""

    def __init__(self, file: Any, *, owned: bool) -> None:
        self._file = file
        self._close = file.close if owned else None
        self._readinto: Callable[[Any], int | None] | None = getattr(file, "readinto1", None) or getattr(
            file, "readinto", None
        )
        self._read: Callable[[int], bytes] | None = getattr(file, "read1", None) or getattr(
            file, "read", None
        )

    def attach(self, buffer: ReceiveBuffer) -> None:
        self._buffer = buffer

    def fill(self) -> bool:
        if self._readinto is not None:
            received = self._readinto(self._buffer)
            if received is None:
                raise UsageError("the file is non-blocking and has nothing to read now")
            self._buffer.commit(received)
            return received > 0
        assert self._read is not None
        with memoryview(self._buffer) as window:
            data = self._read(len(window))
            if not isinstance(data, bytes | bytearray):
                raise UsageError(
                    f"the file gives {type(data).__name__}, expected bytes: open it in binary mode"
                )
            window[: len(data)] = data
        self._buffer.commit(len(data))
        return len(data) > 0

    def shutdown(self) -> None:
        pass

    def close(self) -> None:
        if self._close is not None:
            self._close()


class IterableSource:
    """Pieces of bytes of any size, empty ones too."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = iter(pieces)
        self._piece = BytesSource(memoryview(b""))

    def attach(self, buffer: ReceiveBuffer) -> None:
        self._buffer = buffer

    def fill(self) -> bool:
        while not self._piece.fill():
            try:
                piece = next(self._pieces)
            except StopIteration:
                return False
            try:
                view = memoryview(piece)
            except TypeError:
                raise UsageError(f"the iterable gives {type(piece).__name__}, expected bytes") from None
            self._piece = BytesSource(view)
            self._piece.attach(self._buffer)
        return True

    def shutdown(self) -> None:
        pass

    def close(self) -> None:
        self._pieces = iter(())
        self._piece.close()


class StreamingBodySource(IterableSource):
    """Botocore's StreamingBody. Its own ``read`` waits until the amount is full, so we read the urllib3
    response in it, which its ``with`` gives: one HTTP chunk, or what one receive brought."""

    def __init__(self, body: Any) -> None:
        self._body = body
        super().__init__(_pieces_of_response(body.__enter__()))

    def fill(self) -> bool:
        try:
            return super().fill()
        except Exception as error:
            # By name, since who never called boto3 must not load urllib3 for this.
            if type(error).__module__.partition(".")[0] not in ("urllib3", "botocore"):
                raise
            raise TransportError(f"boto3's response broke: {error}") from error

    def close(self) -> None:
        super().close()
        self._body.close()


def _pieces_of_response(raw: Any) -> Iterator[bytes]:
    if getattr(raw, "chunked", False):
        yield from raw.stream(PIECE)
        return
    read = getattr(raw, "read1", None) or raw.read
    while data := read(PIECE):
        yield data
