"""The streams of the service, by name: how they are made from media, and how they go."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from kvsfast.emulator.clock import Clock
from kvsfast.emulator.faults import Ending
from kvsfast.emulator.framing import Framing
from kvsfast.emulator.media import Media, Source
from kvsfast.emulator.options import StreamOptions
from kvsfast.emulator.prepared import Prepared
from kvsfast.emulator.served import Served
from kvsfast.emulator.stream import Stream
from kvsfast.errors import UsageError

__all__ = ["Registry"]


class Registry:
    """``live`` to ``opaque_tokens``: as of :class:`stream.Stream`, for all of them. ``options``: of new ones.

    Media is loaded and framed at once when it is announced; the streams begin with ``open``.
    """

    def __init__(
        self,
        sources: Mapping[str, Source | Sequence[Source]],
        clock: Clock,
        framing: Framing,
        options: StreamOptions,
        *,
        live: bool,
        loop: bool,
        producer_start_ms: int | None,
        opaque_tokens: bool,
        seed: int,
    ) -> None:
        self._clock = clock
        self._framing = framing
        self._options = options
        self._live = live
        self._loop = loop
        self._producer_start_ms = producer_start_ms
        self._opaque_tokens = opaque_tokens
        self._seed = seed
        self._streams: dict[str, Served] = {}
        # Many streams may be made from one file; it is loaded and framed once.
        loaded: dict[str | int, tuple[Media, Prepared]] = {}
        self._announced: dict[str, tuple[Media, Prepared]] = {}
        for name, source in sources.items():
            key = str(source) if isinstance(source, str | os.PathLike) else id(source)
            if key not in loaded:
                loaded[key] = self._load(source)
            self._announced[name] = loaded[key]

    def open(self) -> None:
        """Now is the moment when stored media ends and live media begins."""
        for name, (media, prepared) in self._announced.items():
            self._add(name, media, prepared, self._options)

    def create(self, name: str, source: Source | Sequence[Source]) -> Served:
        """A new stream. UsageError if there is one of this name."""
        if name in self._streams:
            raise UsageError(f"there is a stream {name} already")
        return self._add(name, *self._load(source), self._options)

    def delete(self, name: str, how: Ending) -> None:
        """The stream is gone; its open responses end."""
        served = self[name]
        del self._streams[name]
        served.retire(how)

    def recreate(self, name: str, source: Source | Sequence[Source], how: Ending) -> Served:
        """Another stream under the same name, with the same options."""
        options = self[name].options
        media = self._load(source)
        self.delete(name, how)
        return self._add(name, *media, options)

    def find(self, name: str) -> Served | None:
        """The stream of this name, if there is one."""
        return self._streams.get(name)

    def __getitem__(self, name: str) -> Served:
        if name not in self._streams:
            raise UsageError(f"there is no stream {name}, only {', '.join(self._streams) or 'none'}")
        return self._streams[name]

    def _load(self, source: Source | Sequence[Source]) -> tuple[Media, Prepared]:
        media = Media(source)
        return media, Prepared(media, self._framing, by_frame=self._live)

    def _add(self, name: str, media: Media, prepared: Prepared, options: StreamOptions) -> Served:
        self._seed += 1  # a stream that is created again at the same time has other numbers
        stream = Stream(
            name,
            media,
            now_ms=self._clock.now_ms,
            live=self._live,
            loop=self._loop,
            producer_start_ms=self._producer_start_ms,
            opaque_tokens=self._opaque_tokens,
            seed=self._seed,
        )
        self._streams[name] = Served(stream, prepared, options, self._clock)
        return self._streams[name]
