"""kvsfast for asyncio, under the same names.

    from kvsfast import aio

    async with aio.Client("eu-west-1") as client:
        async with client.get_media("front-door", StartSelector.now()) as media:
            async for frame in media.frames():
                ...
        async with client.consume("front-door", StartSelector.earliest()) as fragments:
            async for fragment in fragments:
                ...

Options, errors, parser and every decision are those of the blocking client. A call is opened in one of a few
threads (credentials, TLS and DNS block); from then on its socket belongs to the event loop, and an idle
stream costs no thread.
"""

from __future__ import annotations

from kvsfast.aio.client import Client, Opening
from kvsfast.aio.consumer import Consumer
from kvsfast.aio.many import ConsumerGroup, consume_many
from kvsfast.aio.stream import MediaStream

__all__ = ["Client", "Consumer", "ConsumerGroup", "MediaStream", "Opening", "consume_many"]
