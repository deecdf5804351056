"""Media framed for the wire before it is asked for, so that serving it costs next to nothing."""

from __future__ import annotations

from typing import NamedTuple

from kvsfast.emulator.framing import Framing
from kvsfast.emulator.media import Media, StoredFragment

__all__ = ["Framed", "Prepared"]


class Unit(NamedTuple):
    """Framed bytes that are sent ``due_ms`` after their fragment began."""

    due_ms: int
    framed: bytes


class Framed(NamedTuple):
    """A fragment without the service's tags: what stands before them, and what comes between."""

    head: bytes
    body: list[Unit]


class Prepared:
    """The media of a stream, framed once: a large string per fragment, or one per frame if it is live."""

    def __init__(self, media: Media, framing: Framing, *, by_frame: bool) -> None:
        self._framing = framing
        self._media = media  # its fragments are known by identity
        heads: dict[int, bytes] = {}
        self._fragments: dict[int, Framed] = {}
        for stored in media.fragments:
            if id(stored.head) not in heads:
                heads[id(stored.head)] = framing.frame(stored.head)[0]
            body = self._by_frame(stored) if by_frame else self._whole(stored)
            self._fragments[id(stored)] = Framed(heads[id(stored.head)], body)

    def framed(self, stored: StoredFragment) -> Framed:
        """This fragment; framed now if it came to the stream later."""
        known = self._fragments.get(id(stored))
        return known or Framed(self._framing.frame(stored.head)[0], self._whole(stored))

    def _whole(self, stored: StoredFragment) -> list[Unit]:
        return [Unit(0, self._framing.frame(stored.body)[0])]

    def _by_frame(self, stored: StoredFragment) -> list[Unit]:
        """The body cut after each block. What follows the last one comes when the fragment closes."""
        framed = self._framing.frame(stored.body, [end for end, _ in stored.blocks])
        units: list[Unit] = []
        due = 0
        for (_, time), unit in zip(stored.blocks, framed, strict=False):
            due = max(due, time)
            units.append(Unit(due, unit))
        units.append(Unit(stored.duration_ms, framed[-1]))
        return units
