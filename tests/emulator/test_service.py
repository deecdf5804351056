"""The service as boto3 sees it."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from kvsfast.emulator import Emulator
from kvsfast.emulator.media import Media
from kvsfast.emulator.numbers import FragmentNumber
from kvsfast.errors import MediaError, UsageError
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media, signed
from tests.emulator.wire import dissect, http_chunks, read_all

MakeSdk = Callable[..., Sdk]


def body_chunks(answer: bytes) -> list[bytes]:
    return http_chunks(answer.partition(b"\r\n\r\n")[2])


def test_a_stream_as_boto3_reads_it(sdk: MakeSdk) -> None:
    clip = mkv.clip(4)
    started = time.time_ns() // 1_000_000
    with Emulator({"front-door": clip}) as service:
        client = sdk(service)
        assert client.endpoint("front-door") == service.media_endpoint_url
        answer = client.media(client.endpoint("front-door")).get_media(
            StreamName="front-door", StartSelector={"StartSelectorType": "EARLIEST"}
        )
        body = answer["Payload"].read()
        ended = time.time_ns() // 1_000_000
        head = mkv.EBML_HEADER + mkv.SEGMENT_HEADER + mkv.SEEK_HEAD + mkv.VOID + mkv.INFO + mkv.TRACKS
        documents = dissect(body)
        assert [document.head for document in documents] == [head] * 4
        assert (
            b"".join(document.media for document in documents)
            == clip[clip.index(mkv.cluster(0, mkv.blocks(0))) :]
        )
        for sequence, document in enumerate(documents, 1):
            parsed = FragmentNumber.parse(document.number)
            assert (parsed.sequence, parsed.server_ms) == (sequence, document.server_ms)
            assert document.token == document.number
            assert started <= document.server_ms + document.millis_behind_now <= ended
            assert document.producer_ms == document.server_ms - 250
        assert [d.server_ms - documents[0].server_ms for d in documents] == [0, 200, 400, 600]
        assert started <= documents[-1].server_ms + 200 <= ended
    assert answer["ContentType"] == "video/webm"
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["transfer-encoding"] == "chunked"
    assert set(headers) == {"content-type", "transfer-encoding", "date", "x-amzn-requestid"}
    assert answer["ResponseMetadata"]["RequestId"] == headers["x-amzn-requestid"]


def test_all_six_selectors(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(4)}, limits=False, opaque_tokens=True) as service:
        client = sdk(service)
        every = dissect(client.read("s"))
        third = every[2]

        def numbers(kind: str, **companion: Any) -> list[str]:
            return [document.number for document in dissect(client.read("s", kind, **companion))]

        expected = [document.number for document in every]
        assert numbers("EARLIEST") == expected
        assert numbers("NOW") == expected[3:]
        assert numbers("FRAGMENT_NUMBER", AfterFragmentNumber=third.number) == expected[3:]
        assert numbers("CONTINUATION_TOKEN", ContinuationToken=third.token) == expected[3:]
        assert third.token != third.number
        for kind, ms in (("SERVER_TIMESTAMP", third.server_ms), ("PRODUCER_TIMESTAMP", third.producer_ms)):
            when = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
            assert numbers(kind, StartTimestamp=when) == expected[2:]
            assert (
                numbers(kind, StartTimestamp=when.replace(microsecond=when.microsecond + 1)) == expected[3:]
            )
            assert numbers(kind, StartTimestamp=datetime(2100, 1, 1, tzinfo=UTC)) == []


def test_names_and_arns(sdk: MakeSdk) -> None:
    with Emulator({"a": mkv.clip(1), "b.c-d_e": mkv.clip(2)}, limits=False) as service:
        client = sdk(service)
        arn = service.stream_arn("b.c-d_e")
        assert client.control.get_data_endpoint(StreamARN=arn, APIName="GET_MEDIA")["DataEndpoint"]
        media = client.media(service.media_endpoint_url)
        payload = media.get_media(StreamARN=arn, StartSelector={"StartSelectorType": "EARLIEST"})["Payload"]
        assert len(dissect(payload.read())) == 2


@pytest.mark.parametrize("pieces", ["element", "coalesced", "random", "byte", [12, 6, 19, 1000]])
@pytest.mark.parametrize("gather", [True, False])
def test_every_way_to_cut_gives_the_same_media(pieces: Any, gather: bool) -> None:
    clip = mkv.clip(2, length=100)
    with Emulator({"s": clip}, pieces=pieces, gather=gather) as service:
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(
                raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            )
            chunks = body_chunks(read_all(sock))
    documents = dissect(b"".join(chunks))
    assert (
        b"".join(document.media for document in documents)
        == clip[clip.index(mkv.cluster(0, mkv.blocks(0, length=100))) :]
    )
    sizes = [len(chunk) for chunk in chunks]
    if pieces == "byte":
        assert set(sizes) == {1}
    elif pieces == "coalesced":
        assert len(sizes) == 8
    elif pieces == "element":
        tags = [8, 6, 6, 38, 53, 6, 39, 20, 6, 41, 20]
        at = sizes.index(38) - 3
        assert sizes[at : at + len(tags)] == tags
        # Cluster with Timestamp, Position, then head and frame of each block, then the trailer in one piece.
        cluster = at + len(tags)
        assert sizes[cluster : cluster + 12] == [16, 3, *[13, 100] * 5]
        assert len(chunks[cluster + 12]) > 160


def test_frames_are_those_of_the_file(ffmpeg_clip: Path, sdk: MakeSdk, tmp_path: Path) -> None:
    with Emulator({"clip": ffmpeg_clip}) as service:
        body = sdk(service).read("clip")
    received = tmp_path / "received.mkv"
    received.write_bytes(body)
    hashes = [
        subprocess.run(
            ["ffmpeg", "-v", "quiet", "-i", path, "-map", "0", "-c", "copy", "-f", "streamhash", "-"],
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for path in (ffmpeg_clip, received)
    ]
    assert hashes[0] == hashes[1]
    assert hashes[0].count(b"SHA256=") == 2


def test_a_recorded_response_comes_back_as_it_was(data: Path, sdk: MakeSdk) -> None:
    path = data / "getmedia/output_get_media.mkv"
    recorded = dissect(path.read_bytes())
    with Emulator({"s": path}) as service:
        served = dissect(sdk(service).read("s"))
    assert [(d.head, d.media) for d in served] == [(d.head, d.media) for d in recorded]


def test_a_loop_goes_on(sdk: MakeSdk) -> None:
    clip = mkv.clip(3)
    with Emulator({"s": clip}, loop=True) as service:
        with contextlib.closing(sdk(service).open("s")) as payload:
            body = payload.read(40_000)
        cut = body.rindex(mkv.EBML_HEADER)
        documents = dissect(body[:cut])
        assert len(documents) > 9
        assert [FragmentNumber.parse(d.number).sequence for d in documents] == list(
            range(1, len(documents) + 1)
        )
        times = [d.server_ms for d in documents]
        assert times == sorted(times) and times[-1] <= time.time() * 1000
        assert [d.producer_ms - documents[0].producer_ms for d in documents] == [
            200 * n for n in range(len(documents))
        ]
        assert [d.media for d in documents[:6]] == [d.media for d in documents[3:9]]
        resumed = sdk(service).open("s", "FRAGMENT_NUMBER", AfterFragmentNumber=documents[6].number)
        with contextlib.closing(resumed):
            assert documents[7].number.encode() in resumed.read(3000)


def test_a_response_ends_after_the_session_time_at_a_whole_fragment(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(3)}, loop=True, session_seconds=0.2, bandwidth=1e6) as service:
        documents = dissect(sdk(service).read("s"))
    assert len(documents) > 3


def test_pacing(sdk: MakeSdk) -> None:
    for options in ({"bandwidth": 50_000.0}, {"fragments_per_second": 10.0}):
        with Emulator({"s": mkv.clip(4, length=3000)}, **options) as service:  # type: ignore[arg-type]
            started = time.monotonic()
            body = sdk(service).read("s")
            elapsed = time.monotonic() - started
        assert len(dissect(body)) == 4
        # Not faster than it should be; slower is the machine's business.
        assert elapsed > (len(body) / 50_000 if "bandwidth" in options else 0.3) * 0.95


def test_an_empty_stream_is_an_empty_body(sdk: MakeSdk) -> None:
    with Emulator({"s": []}) as service:
        assert sdk(service).read("s") == b""
        assert sdk(service).read("s", "NOW") == b""


def test_expect_100_continue() -> None:
    with Emulator({"s": mkv.clip(1)}) as service:
        request = raw_get_media(service, "s").replace(
            b"\r\n\r\n", b"\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", 1
        )
        head, _, body = request.partition(b"\r\n\r\n")
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(head + b"\r\n\r\n")
            assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(body)
            answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(dissect(b"".join(body_chunks(answer)))) == 1


def test_several_requests_on_one_connection() -> None:
    with Emulator({"s": mkv.clip(1)}) as service:
        with connected(service, service.media_endpoint_url) as sock:
            for _ in range(4):
                sock.sendall(raw_get_media(service, "s"))
                answer = b""
                while not answer.endswith(b"\r\n0\r\n\r\n"):
                    answer += sock.recv(65536)
                assert len(dissect(b"".join(body_chunks(answer)))) == 1


def test_a_guessed_endpoint_is_refused_by_the_front_door(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(1)}) as service:
        client = sdk(service)
        with pytest.raises(ClientError) as refused:
            client.media(service.endpoint_url).get_media(
                StreamName="s", StartSelector={"StartSelectorType": "NOW"}
            )
        assert refused.value.response["Error"]["Code"] == "403"
        assert "Unable to determine service/operation name to be authorized" in str(refused.value)
        for url in (service.media_endpoint_url, service.endpoint_url):
            for request in (
                b"GET /getMedia",
                b"POST /",
                b"POST /nothing",
                b"PUT /getDataEndpoint",
                b"HEAD /",
            ):
                with connected(service, url) as sock:
                    sock.sendall(request + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answer = read_all(sock)
                assert answer.startswith(b"HTTP/1.1 403 ")
                assert b"ErrorType" not in answer
                assert answer.endswith(
                    b"\r\n\r\n" if request.startswith(b"HEAD") else b"</AccessDeniedException>\n"
                )


def error_of(call: Callable[[], Any]) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call()
    response = refused.value.response
    assert response["ResponseMetadata"]["RequestId"]
    return (
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Code"],
        response["Error"]["Message"],
    )


def test_errors_of_the_model(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(1)}, limits=False) as service:
        client = sdk(service)
        # Untyped, since most of these calls are wrong.
        control: Any = client.control
        media: Any = client.media(service.media_endpoint_url)
        now = {"StartSelectorType": "NOW"}
        not_found = [
            lambda: client.endpoint("absent"),
            lambda: client.read("absent"),
            lambda: media.get_media(
                StreamARN=service.stream_arn("s").replace("/s/", "/t/"), StartSelector=now
            ),
        ]
        for call in not_found:
            status, code, message = error_of(call)
            assert (status, code) == (404, "ResourceNotFoundException")
            assert "not found" in message
        both = {"StreamName": "s", "StreamARN": service.stream_arn("s")}
        invalid: list[tuple[Callable[[], Any], str]] = [
            (
                lambda: control.get_data_endpoint(**both, APIName="GET_MEDIA"),
                "either StreamName or StreamARN",
            ),
            (lambda: control.get_data_endpoint(APIName="GET_MEDIA"), "either StreamName or StreamARN"),
            (
                lambda: control.get_data_endpoint(StreamARN="arn:aws:s3:::bucket", APIName="GET_MEDIA"),
                "no stream's ARN",
            ),
            (
                lambda: control.get_data_endpoint(StreamName="s", APIName="GET_COFFEE"),
                "APIName is 'GET_COFFEE'",
            ),
            (
                lambda: control.get_data_endpoint(StreamName="s", APIName="PUT_MEDIA"),
                "no data endpoint for PUT_MEDIA",
            ),
            (lambda: media.get_media(**both, StartSelector=now), "either StreamName or StreamARN"),
            (lambda: client.read("s", "LATEST"), "StartSelectorType is 'LATEST'"),
            (lambda: client.read("s", "FRAGMENT_NUMBER"), "needs AfterFragmentNumber"),
            (lambda: client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber="12"), "no fragment number"),
            (
                lambda: client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber="x"),
                "AfterFragmentNumber is 'x'",
            ),
            (lambda: client.read("s", "NOW", AfterFragmentNumber="1"), "does not take AfterFragmentNumber"),
            (lambda: client.read("s", "SERVER_TIMESTAMP"), "needs StartTimestamp"),
            (
                lambda: client.read("s", "CONTINUATION_TOKEN", ContinuationToken="a b"),
                "ContinuationToken is 'a b'",
            ),
        ]
        for call, part in invalid:
            status, code, message = error_of(call)
            assert (status, code) == (400, "InvalidArgumentException")
            assert part in message


def test_bodies_that_are_no_json() -> None:
    with Emulator({"s": mkv.clip(1)}) as service:
        for body in (b"", b"{", b"[]", b"\xff"):
            for url in (f"{service.media_endpoint_url}/getMedia", f"{service.endpoint_url}/getDataEndpoint"):
                with connected(service, url) as sock:
                    sock.sendall(signed(service, url, body))
                    answer = sock.recv(10_000)
                assert answer.startswith(b"HTTP/1.1 400 ")
                assert b"x-amzn-ErrorType: SerializationException" in answer
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(b"POST /getMedia HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            assert b"SerializationException" in read_all(sock)


def test_an_unknown_fragment_is_an_error_in_the_media(sdk: MakeSdk) -> None:
    unknown = str(FragmentNumber.of(7, 1_700_000_000_000, 0))
    with Emulator({"s": mkv.clip(1)}) as service:
        body = sdk(service).read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=unknown)
    assert b"Cluster" not in body and b"\x1f\x43\xb6\x75" not in body
    assert b"AWS_KINESISVIDEO_ERROR_ID\x44\x87\x10\x00\x00\x044000" in body
    assert body.endswith(unknown.encode())


def test_one_file_may_be_many_streams() -> None:
    path_like: dict[str, Any] = {f"s{n}": mkv.clip(1) for n in range(3)}
    shared = mkv.clip(2)
    path_like |= {f"t{n}": shared for n in range(100)}
    with Emulator(path_like) as service:
        assert service.stream("t0").media is service.stream("t99").media
        assert service.stream("s0").media is not service.stream("s1").media


def test_what_the_constructor_refuses(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pace"):
        Emulator({}, pace="fast")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="pieces"):
        Emulator({}, pieces="crumbs")  # type: ignore[arg-type]
    for option in ("bandwidth", "fragments_per_second"):
        with pytest.raises(UsageError, match=option):
            Emulator({}, **{option: 0})  # type: ignore[arg-type]
    with pytest.raises(MediaError):
        Emulator({"s": b"no media"})
    with pytest.raises(FileNotFoundError):
        Emulator({"s": tmp_path / "absent.mkv"})
    service = Emulator({"s": mkv.clip(1)})
    with pytest.raises(UsageError, match="not started"):
        _ = service.endpoint_url


def test_boto3_without_help() -> None:
    """What the documentation shows, as it is."""
    with Emulator(streams={"front-door": mkv.clip(2)}) as service:
        control = boto3.client("kinesisvideo", **service.client_options())
        where = control.get_data_endpoint(StreamName="front-door", APIName="GET_MEDIA")["DataEndpoint"]
        media = boto3.client("kinesis-video-media", **{**service.client_options(), "endpoint_url": where})
        with media.get_media(StreamName="front-door", StartSelector={"StartSelectorType": "EARLIEST"})[
            "Payload"
        ] as body:
            assert len(dissect(body.read())) == len(Media(mkv.clip(2)).fragments)
        control.close()
        media.close()
