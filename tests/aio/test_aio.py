"""GetMedia on an event loop: the same results, the same errors, and nothing that blocks or stays behind."""

from __future__ import annotations

import asyncio
import gc
import resource
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Self, TypeVar

import boto3
import pytest
from botocore.config import Config

import kvsfast
from kvsfast import (
    StandardRetry,
    StartSelector,
    StreamClosed,
    TransportError,
    TransportTimeout,
    UsageError,
    aio,
)
from kvsfast.emulator import Emulator
from kvsfast.emulator.faults import Cut, ErrorDocument
from tests.mkv_writer import Block, service_fragment
from tests.waiting import open_files
from tests.wire import (
    CHUNKED_HEAD,
    HANG,
    LAST_CHUNK,
    Peer,
    Script,
    Server,
    authority,
    head,
    http_chunk,
    respond,
)

Item = TypeVar("Item")

FRAMES = [b"\x01" * 5000, b"\x02" * 3, b"\x03" * 100_000]
MEDIA = b"".join(
    service_fragment(
        sequence=i, frames=[Block(data, time=40 * n, keyframe=n == 0) for n, data in enumerate(FRAMES)]
    )
    for i in range(4)
)
START = StartSelector.earliest()
NO_WAIT = StandardRetry(base=0)
KEYS: dict[str, Any] = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG",
    "region_name": "eu-west-1",
    "config": Config(proxies={}),
}

pytestmark = pytest.mark.usefixtures("no_environment")


def run(main: Coroutine[Any, Any, Item], *, debug: bool = True) -> Item:
    """With asyncio's own checks, and without a task, a thread or a socket left behind."""
    threads = set(threading.enumerate())

    async def checked() -> Item:
        result = await asyncio.wait_for(main, HANG)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    result = asyncio.run(checked(), debug=debug)
    gc.collect()  # what was dropped without close warns, and warnings are errors
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("kvsfast-aio"):
            thread.join(HANG)
            assert not thread.is_alive()
    return result


async def listed(items: AsyncIterator[Item]) -> list[Item]:
    return [item async for item in items]


@pytest.fixture(params=[False, True], ids=["tcp", "tls"])
def service(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator({"door": MEDIA, "other": MEDIA}, tls=request.param) as service:
        yield service


def client_of(service: Emulator, **keywords: Any) -> aio.Client:
    return aio.Client(
        **{
            "config": Config(proxies={}),
            "retry": StandardRetry(base=0),
            **service.client_options(),
            **keywords,
        }
    )


def media_client(server: Server, **keywords: Any) -> aio.Client:
    return aio.Client(**{"media_endpoint_url": server.url, "retry": NO_WAIT, **KEYS, **keywords})


# -- the same results


def test_the_four_ways_of_reading(service: Emulator) -> None:
    blocking = kvsfast.Client(config=Config(proxies={}), **service.client_options())
    with blocking.get_media("door", START) as media:
        expected = [(type(event).__name__, getattr(event, "number", None)) for event in media.events()]

    async def main() -> None:
        async with client_of(service) as client:
            async with client.get_media("door", START) as media:
                fragments = await listed(media.fragments())
            assert [[bytes(frame) for frame in each.frames] for each in fragments] == [FRAMES] * 4
            async with client.get_media("door", {"StartSelectorType": "EARLIEST"}) as media:
                assert [bytes(frame) async for frame in media.frames()] == FRAMES * 4
            async with client.get_media(StreamARN=service.stream_arn("door"), start=START) as media:
                events = await listed(media.events())
            assert [(type(event).__name__, getattr(event, "number", None)) for event in events] == expected
            async with client.get_media("other", START) as media:
                pieces = await listed(media.iter_chunks(7000))
                assert await media.read(1) == b""
            assert max(map(len, pieces)) <= 7000
            async with await client.get_media("other", START) as media:
                buffer = bytearray(100_000)
                content = b""
                while got := await media.readinto(buffer):
                    content += buffer[:got]
            for raw in (b"".join(pieces), content):
                assert [bytes(frame) for frame in kvsfast.parse(raw).frames()] == FRAMES * 4
            assert await client.get_data_endpoint("door") == service.media_endpoint_url

    run(main())


def test_metadata_and_shape(service: Emulator) -> None:
    async def main() -> None:
        async with client_of(service) as client, client.get_media("door", START) as media:
            assert media.content_type == "video/webm"
            assert media.request_id == media.response_metadata["RequestId"]
            assert media.output["Payload"] is media  # type: ignore[comparison-overlap]
            assert media.output["ContentType"] == "video/webm"
            assert repr(media).startswith("<aio.MediaStream open") and "secret" not in repr(client)
            assert client.region_name == service.region and client.options.idle_timeout == 60

    run(main())


def test_leaving_a_loop_loses_nothing(service: Emulator) -> None:
    async def main() -> None:
        async with client_of(service) as client, client.get_media("door", START) as media:
            got = []
            async for frame in media.frames():
                got.append(bytes(frame))
                if len(got) == 2:
                    break
            got += [bytes(frame) async for frame in media.frames()]
            assert got == FRAMES * 4
            with pytest.raises(UsageError, match=r"read by frames\(\)"):
                media.fragments()

    run(main())


def test_with_options_and_sessions(service: Emulator) -> None:
    async def main() -> None:
        session = boto3.session.Session(
            service.credentials.access_key, service.credentials.secret_key, region_name=service.region
        )
        keywords = {"endpoint_url": service.endpoint_url, "verify": service.ca_certificate_path or True}
        async with aio.Client.from_session(session, config=Config(proxies={}), **keywords) as client:
            other = client.with_options(idle_timeout=7)
            assert (other.options.idle_timeout, client.options.idle_timeout) == (7, 60)
            async with other.get_media("door", START) as media:
                assert len(await listed(media.fragments())) == 4

    run(main())


# -- waiting


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_a_frame_is_there_when_its_last_byte_is(tls: bool) -> None:
    parts = (MEDIA[: len(MEDIA) // 8], MEDIA[len(MEDIA) // 8 :])
    more = threading.Event()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(parts[0]))
        more.wait(HANG)
        peer.send(http_chunk(parts[1]) + LAST_CHUNK)
        peer.until_closed()

    async def main() -> None:
        async with media_client(server, verify=authority().bundle) as client:
            async with client.get_media("door", START) as media:
                frames = media.frames()
                first = [bytes(await anext(frames)) for _ in range(2)]
                more.set()
                assert first + [bytes(frame) async for frame in frames] == FRAMES * 4

    with Server(script, tls=authority().server_context() if tls else None) as server:
        run(main())


def test_an_idle_timeout_and_then_more() -> None:
    more = threading.Event()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        more.wait(HANG)
        peer.send(http_chunk(MEDIA) + LAST_CHUNK)
        peer.until_closed()

    async def main() -> None:
        async with media_client(server, idle_timeout=1) as client, client.get_media("d", START) as media:
            frames = media.frames()
            for _ in range(2):
                with pytest.raises(TransportTimeout, match=r"idle_timeout=1 s; reading may go on"):
                    await anext(frames)
            more.set()
            assert [bytes(frame) async for frame in media.frames()] == FRAMES * 4

    with Server(script) as server:
        run(main())


def test_the_deadline_of_a_call() -> None:
    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(MEDIA))
        peer.until_closed()

    async def main() -> None:
        async with media_client(server) as client, client.get_media("d", START, deadline=2) as media:
            frames = media.frames()
            for expected in FRAMES * 4:
                assert bytes(await anext(frames)) == expected
            for _ in range(2):
                with pytest.raises(TransportTimeout, match="deadline") as caught:
                    await anext(frames)
                assert not caught.value.retryable

    with Server(script) as server:
        run(main())


def test_deadline_and_cancellation_while_opening() -> None:
    asked, over = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        asked.set()
        over.wait(HANG)
        peer.close()
        peer.until_closed()

    async def main() -> None:
        async with media_client(server) as client:
            with pytest.raises(TransportTimeout, match="deadline"):
                await client.get_media("door", START, deadline=0.5)
            asked.clear()
            task = asyncio.create_task(client.get_media("door", START))
            while not asked.is_set():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            over.set()

    with Server(
        script
    ) as server:  # which is left when the threads came back, and closed what they had opened
        run(main())


def test_what_only_waits_takes_no_thread() -> None:
    """One thread, and still three calls in backoff do not keep a fourth one from its answer."""

    def refuse(peer: Peer) -> None:
        peer.send(head("503 Busy", Content_Length="0", Retry_After="30", Connection="close"))
        peer.close()

    def answer(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(MEDIA) + LAST_CHUNK)
        peer.until_closed()

    async def main() -> None:
        async with media_client(server, threads=1) as client:
            waiting = [asyncio.create_task(client.get_media(f"busy-{i}", START)) for i in range(3)]
            while len(server.requests) < 3:
                await asyncio.sleep(0.01)
            async with client.get_media("door", START) as media:
                assert len(await listed(media.fragments())) == 4
            for task in waiting:
                task.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError)
                for end in await asyncio.gather(*waiting, return_exceptions=True)
            )

    with Server(refuse, refuse, refuse, answer) as server:
        run(main())


def test_the_fourth_connection_waits_its_turn(service: Emulator) -> None:
    async def main() -> None:
        async with client_of(service) as client:
            open_ones = [await client.get_media("door", START) for _ in range(3)]
            with pytest.raises(kvsfast.ConnectionLimitExceededException):
                await client.get_media("door", START)
            with pytest.raises(TransportTimeout, match="deadline"):
                await client.get_media("door", START, wait=True, deadline=0.3)
            fourth = asyncio.create_task(client.get_media("door", START, wait=True))
            await asyncio.sleep(0.02)
            assert not fourth.done()
            open_ones.pop().close()
            async with await fourth as media:
                assert len(await listed(media.fragments())) == 4
            for media in open_ones:
                media.close()

    run(main())


# -- ending


def hanging(peer: Peer) -> None:
    peer.send(CHUNKED_HEAD + http_chunk(MEDIA[:100]))
    peer.until_closed()


@pytest.mark.parametrize(
    "read",
    [
        lambda media: media.read(65536),
        lambda media: anext(media.frames()),
        lambda media: anext(media.fragments()),
    ],
    ids=["read", "frames", "fragments"],
)
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_close_ends_a_task_that_waits(read: Callable[[Any], Awaitable[Any]], tls: bool) -> None:
    async def reading(media: aio.MediaStream) -> None:
        while True:
            await read(media)

    async def main() -> None:
        async with media_client(server, verify=authority().bundle) as client:
            media = await client.get_media("door", START)
            task = asyncio.create_task(reading(media))
            await asyncio.sleep(0.02)
            media.close()
            with pytest.raises(StreamClosed):
                await task
            media.close()
            assert media.closed
            with pytest.raises((StreamClosed, UsageError)):
                await read(media)
            with pytest.raises(UsageError):
                async with media:
                    pass

    with Server(hanging, tls=authority().server_context() if tls else None) as server:
        run(main())


def test_a_task_that_waits_can_be_cancelled_and_another_goes_on() -> None:
    more = threading.Event()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(MEDIA[:100]))
        more.wait(HANG)
        peer.send(http_chunk(MEDIA[100:]) + LAST_CHUNK)
        peer.until_closed()

    async def main() -> None:
        async with media_client(server) as client, client.get_media("door", START) as media:
            task = asyncio.create_task(listed(media.fragments()))
            await asyncio.sleep(0.02)
            with pytest.raises(UsageError, match="another task"):
                await anext(media.fragments())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            more.set()
            assert len(await listed(media.fragments())) == 4

    with Server(script) as server:
        run(main())


def test_a_dropped_stream_gives_its_connection_back() -> None:
    async def main() -> None:
        async with media_client(server) as client:
            media = await client.get_media("door", START)
            frames = media.frames()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(frames), 0.02)
            unused = [media, frames]
            del media, frames
            with pytest.warns(ResourceWarning, match="without close"):
                unused.clear()

    with Server(hanging) as server:
        run(main())


def test_a_closed_client_opens_nothing(service: Emulator) -> None:
    async def main() -> None:
        client = client_of(service)
        media = await client.get_media("door", START)
        client.close()
        client.close()
        assert len(await listed(media.fragments())) == 4  # open streams go on
        media.close()
        with pytest.raises(UsageError, match="closed"):
            await client.get_media("door", START)

    run(main())


# -- failing


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Cut("reset", fragment=1, inside="frame"), TransportError),
        (Cut("close", fragment=1, inside="frame"), TransportError),
        (ErrorDocument(4500, "KMS_KEY_ACCESS_DENIED", fragment=1), kvsfast.InStreamError),
    ],
    ids=["reset", "close", "in stream"],
)
def test_everything_complete_comes_before_the_failure(
    fault: Any, kind: type[Exception], service: Emulator
) -> None:
    async def main() -> None:
        service.faults.plan("door", fault)
        async with client_of(service) as client, client.get_media("door", START) as media:
            whole = 0
            with pytest.raises(kind):
                async for fragment in media.fragments():
                    whole += fragment.is_complete
            assert whole == 1

    run(main())


def test_refusals_and_bad_input(service: Emulator) -> None:
    async def main() -> None:
        async with client_of(service) as client:
            with pytest.raises(kvsfast.ResourceNotFoundException):
                await client.get_media("nobody", START)
            with pytest.raises(UsageError, match="exactly one of stream"):
                client.get_media(start=START)
            with pytest.raises(UsageError, match="there is no option patience"):
                client.get_media("door", START, patience=1)  # type: ignore[call-arg]
            service.fail_next("door", "InternalFailure")
            async with client.get_media("door", START) as media:
                assert media.response_metadata["RetryAttempts"] == 1
        with pytest.raises(UsageError, match="threads is 0"):
            client_of(service, threads=0)

    run(main())


# -- many


SHORT = 0.005


class Callbacks:
    """The longest callback of an event loop, by the CPU time of its thread: on a busy machine the wall clock
    tells of others."""

    longest = 0.0

    def __enter__(self) -> Self:
        # What the test run has piled up is not for us to be searched by the garbage collector.
        gc.collect()
        gc.freeze()
        self._run = run_handle = asyncio.events.Handle._run

        def timed(handle: asyncio.events.Handle) -> None:
            began = time.thread_time()
            run_handle(handle)
            self.longest = max(self.longest, time.thread_time() - began)

        asyncio.events.Handle._run = timed  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.events.Handle._run = self._run  # type: ignore[method-assign]
        gc.unfreeze()


def test_two_hundred_streams_on_one_loop() -> None:
    """No thread for each, nothing left behind, memory flat, and no callback of 5 ms: shown by one round of
    ten, since on a busy machine a few are slower by themselves."""
    names = [f"stream-{i}" for i in range(200)]
    before = open_files()
    longest: list[float] = []
    memory: list[int] = []

    async def read(client: aio.Client, name: str) -> tuple[int, int]:
        async with client.get_media(name, START) as media:
            sizes = [len(frame) async for frame in media.frames()]
        return len(sizes), sum(sizes)

    async def main() -> None:
        async with client_of(local, threads=8) as client:
            await client.get_data_endpoint(names[0])  # loads what is loaded once
            while len(longest) < 3 or (min(longest) >= SHORT and len(longest) < 10):
                with Callbacks() as callbacks:
                    reading = []
                    for name in names:
                        reading.append(asyncio.create_task(read(client, name)))
                        await asyncio.sleep(0)
                    threads = 0
                    while not all(task.done() for task in reading):
                        ours = [each for each in threading.enumerate() if each.name.startswith("kvsfast-aio")]
                        threads = max(threads, len(ours))
                        await asyncio.sleep(0.05)
                longest.append(callbacks.longest)
                assert {task.result() for task in reading} == {(12, sum(map(len, FRAMES)) * 4)}
                assert threads <= 8
                memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    with Emulator(dict.fromkeys(names, MEDIA), limits=False) as local:
        run(main(), debug=False)  # asyncio's checks take longer than what is measured
    assert open_files() <= before
    assert memory[2] - memory[1] < 48 * 1024  # KiB; the first round fills pools
    assert min(longest) < SHORT


def test_scripts_answer(service: Emulator) -> None:
    """A response with a length, and one that ends with the connection."""

    def until_close(peer: Peer) -> None:
        peer.send(head() + MEDIA)
        peer.close()

    scripts: list[Script] = [respond(MEDIA), until_close]

    async def main() -> None:
        async with media_client(server) as client:
            for _ in scripts:
                async with client.get_media("door", START) as media:
                    assert len(await listed(media.fragments())) == 4

    with Server(*scripts) as server:
        run(main())
