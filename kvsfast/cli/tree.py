"""The tree of elements, for people and as JSON. Nothing is kept: a file of any size is walked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from kvsfast._native.scanner import Element, ElementReader
from kvsfast.cli.output import Output, clock, note, printable
from kvsfast.errors import TruncatedMedia
from kvsfast.model import Limits

__all__ = ["show_tree"]

#: Where more than a few of these stand in a row, the rest is summed up.
RUNS = {"SimpleBlock", "BlockGroup", "CuePoint", "Seek"}
SHOWN_OF_RUN = 2

#: DateUTC counts from here (RFC 8794, section 7.6).
MATROSKA_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)


def show_tree(file: BinaryIO, output: Output, *, depth: int | None, sum_up: bool, strict: bool) -> int:
    """Show the elements of the first ``depth`` levels (None: all). Returns the exit code.

    ``sum_up``: of a run of blocks only the first are shown. ``strict``: TruncatedMedia for a file that ends
    inside an element.
    """
    tree = _Tree(output, depth=depth or Limits().max_depth, sum_up=sum_up)
    reader = ElementReader(Limits())
    try:
        while received := _receive(file, reader):
            reader.buffer.commit(received)
            while (element := reader.next_element()) is not None:
                tree.add(element)
    finally:
        tree.end_run()
    if not reader.is_clean:
        message = "the file ends inside an element"
        if strict:
            raise TruncatedMedia(message, offset=reader.buffer.offset)
        note(f"kvsfast inspect: {message}, after byte {reader.buffer.offset}")
    return 0


def _receive(file: BinaryIO, reader: ElementReader) -> int:
    """Of a pipe, what is there; ``readinto`` would wait for more."""
    with memoryview(reader.buffer) as window:
        data = file.read1(len(window)) if hasattr(file, "read1") else file.read(len(window))
        window[: len(data)] = data
    return len(data)


class _Tree:
    """Prints elements as they come, and sums up what a run holds back."""

    def __init__(self, output: Output, *, depth: int, sum_up: bool) -> None:
        self._output = output
        self._depth = depth
        self._sum_up = sum_up
        self._name = ""
        self._level = 0
        self._shown = 0
        self._held = 0
        self._held_bytes = 0
        if not output.as_json:
            output.line(("    offset       size  element", "dim"))

    def add(self, element: Element) -> None:
        if element.depth >= self._depth:
            return
        if self._output.as_json:
            self._record(element)
        elif not self._sum_up or not self._is_held(element):
            self._print(element)

    def _is_held(self, element: Element) -> bool:
        """Whether the element goes on with a run of which enough was shown."""
        if self._name and element.depth > self._level:
            return self._shown > SHOWN_OF_RUN
        if element.name != self._name or element.depth != self._level:
            self.end_run()
            self._name, self._level = (element.name, element.depth) if element.name in RUNS else ("", 0)
        self._shown += 1
        if not self._name or self._shown <= SHOWN_OF_RUN:
            return False
        self._held += 1
        self._held_bytes += element.header_size + (element.size or 0)
        return True

    def end_run(self) -> None:
        if self._held:
            text = f"... {self._held:,} more {self._name}, {self._held_bytes:,} bytes"
            self._output.line(" " * 23 + "  " * self._level, (text, "dim"))
        self._shown = self._held = self._held_bytes = 0

    def _print(self, element: Element) -> None:
        size = "unknown" if element.size is None else str(element.size)
        name = element.name if element.name != "Unknown" else f"Unknown {element.id:X}"
        style = "bold" if element.type == "master" else ""
        self._output.line(
            (f"{element.offset:>10} {size:>10}  ", "dim"),
            "  " * element.depth,
            (name, style),
            "  ",
            (_value(element), "cyan"),
        )

    def _record(self, element: Element) -> None:
        is_date = element.type == "date" and element.value is not None
        self._output.record(
            offset=element.offset,
            header_size=element.header_size,
            size=element.size,
            depth=element.depth,
            id=f"{element.id:X}",
            name=element.name,
            type=element.type,
            value=_value(element) if is_date else element.value,
            **_block(element),
        )


def _value(element: Element) -> str:
    """An element's payload for a line of text."""
    value = element.value
    block = _block(element)
    if block:
        flags = "".join(f", {flag}" for flag in ("key", "invisible", "discardable") if block.get(flag))
        lacing = f", {block['lacing']} lacing" if block["lacing"] else ""
        return f"track {block['track']}, {block['time']:+d}{flags}{lacing}"
    match element.type:
        case "master":
            return ""
        case "string" | "utf-8" if isinstance(value, str):
            return f'"{printable(value)}"'
        case "date" if isinstance(value, int):
            return _date(value)
        case _ if isinstance(value, int | float):
            return str(value)
    if element.name == "Void":
        return ""
    head = element.head[:16]
    return head.hex(" ") + (" ..." if element.size is None or element.size > len(head) else "")


def _date(nanoseconds: int) -> str:
    try:
        return clock(MATROSKA_EPOCH + timedelta(microseconds=nanoseconds // 1000))
    except OverflowError:
        return f"{nanoseconds} ns from 2001"


def _block(element: Element) -> dict[str, int | bool | str]:
    """What the first bytes of a block say (RFC 9559, section 10): track, time in the Cluster, flags.

    Empty for other elements.
    """
    head = element.head
    if element.name not in ("SimpleBlock", "Block") or not head or not head[0]:
        return {}
    length = 9 - head[0].bit_length()
    if len(head) < length + 3:
        return {}
    flags = head[length + 2]
    told: dict[str, int | bool | str] = {
        "track": int.from_bytes(head[:length]) & ((1 << 7 * length) - 1),
        "time": int.from_bytes(head[length : length + 2], signed=True),
        "lacing": ("", "Xiph", "fixed-size", "EBML")[flags >> 1 & 3],
        "invisible": bool(flags & 0x08),
    }
    if element.name == "SimpleBlock":
        told |= {"key": bool(flags & 0x80), "discardable": bool(flags & 0x01)}
    return told
