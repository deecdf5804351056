"""``kvsfast emulator`` as a process: what it prints leads boto3 and kvsfast to the streams."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from pathlib import Path
from types import NoneType
from typing import Any

import boto3
import pytest

import kvsfast
from kvsfast.emulator import PRESETS, ErrorDocument, HttpError, RandomFaults
from kvsfast.emulator.clip import CLIP
from tests.cli.command import PATIENCE, command, environment, run, started

FRAMES = [bytes(frame) for frame in kvsfast.parse(CLIP).frames()]


def test_json_is_all_that_a_client_needs() -> None:
    with started(
        "emulator", "--stream", f"front-door={CLIP}", "--tls", "--json", "--pieces", "random"
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        keys = {
            "region_name": told["region"],
            "aws_access_key_id": told["access_key_id"],
            "aws_secret_access_key": told["secret_access_key"],
            "verify": told["ca_bundle"],
        }
        control = boto3.client("kinesisvideo", endpoint_url=told["endpoint_url"], **keys)
        endpoint = control.get_data_endpoint(StreamARN=told["streams"]["front-door"], APIName="GET_MEDIA")[
            "DataEndpoint"
        ]
        assert endpoint == told["media_endpoint_url"]
        media = boto3.client("kinesis-video-media", endpoint_url=endpoint, **keys)
        answer = media.get_media(StreamName="front-door", StartSelector={"StartSelectorType": "EARLIEST"})
        assert [bytes(frame) for frame in kvsfast.parse(answer["Payload"]).frames()] == FRAMES
        control.close()
        media.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert not Path(told["ca_bundle"]).exists()


def test_what_it_prints_can_be_pasted() -> None:
    """A shell takes the lines; the service without --stream has the clip as demo."""
    with started("emulator", "--tls") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in range(5)]
        assert all(line.startswith("export AWS_") for line in lines)
        inherited = {name: value for name, value in environment().items() if not name.startswith("AWS_")}
        reading = "".join(lines) + shlex.join(command("get-media", "demo", "--start", "EARLIEST", "-o", "-"))
        done = subprocess.run(
            ["sh", "-c", reading], env=inherited, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        assert [bytes(frame) for frame in kvsfast.parse(done.stdout).frames()] == FRAMES
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert b"stream demo: arn:aws:kinesisvideo:us-east-1:" in err


def test_files_of_one_name_follow_each_other(tmp_path: Path) -> None:
    first = tmp_path / "first=1.mkv"
    first.write_bytes(CLIP.read_bytes())
    streams = ["--stream", f"a={first}", "--stream", f"a={CLIP}", "--stream", f"b={CLIP}"]
    with started(
        "emulator", *streams, "--json", "--opaque-tokens", "--no-limits", "--region", "eu-west-1"
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert set(told["streams"]) == {"a", "b"}
        client = kvsfast.Client(
            "eu-west-1",
            endpoint_url=told["endpoint_url"],
            aws_access_key_id=told["access_key_id"],
            aws_secret_access_key=told["secret_access_key"],
        )
        with client.get_media("a", kvsfast.StartSelector.earliest()) as media:
            fragments = list(media.fragments())
        assert [bytes(frame) for fragment in fragments for frame in fragment.frames] == FRAMES * 2
        assert all(fragment.continuation_token != fragment.number for fragment in fragments)


def reading(told: dict[str, Any], stream: str = "demo") -> str:
    """What becomes of reading a stream to its end."""
    client = kvsfast.Client(
        told["region"],
        endpoint_url=told["endpoint_url"],
        aws_access_key_id=told["access_key_id"],
        aws_secret_access_key=told["secret_access_key"],
        verify=told["ca_bundle"] or True,
        retry=kvsfast.StandardRetry(max_attempts=1),
    )
    try:
        with client.get_media(stream, kvsfast.StartSelector.earliest()) as media:
            return f"{sum(1 for _ in media.frames())} frames"
    except kvsfast.ServiceError as error:
        return error.code
    except kvsfast.KvsFastError as error:
        return type(error).__name__


def test_faults_are_met_in_order() -> None:
    faults = ["--fault", "reset-in-frame", "--fault", "b=in-stream-4501", "--fault", "connection-limit"]
    streams = ["--stream", f"a={CLIP}", "--stream", f"b={CLIP}"]
    with started("emulator", "--json", "--no-limits", *streams, *faults) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        whole = f"{len(FRAMES)} frames"
        limit = "ConnectionLimitExceededException"
        assert [reading(told, "a") for _ in range(3)] == ["TransportError", limit, whole]
        assert [reading(told, "b") for _ in range(4)] == ["TransportError", "KMS_KEY_DISABLED", limit, whole]


def test_random_faults_by_a_seed() -> None:
    options = ["--random-faults", "0.5", "--seed", "3", "--among", "in-stream-5000,client-limit"]
    expected = RandomFaults(3, 0.5, among=["in-stream-5000", "client-limit"])
    whole = f"{len(FRAMES)} frames"
    names = {HttpError: "ClientLimitExceededException", ErrorDocument: "INTERNAL_ERROR", NoneType: whole}
    with started("emulator", "--json", "--no-limits", *options) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        outcomes = [reading(told) for _ in range(8)]
    drawn = [names[type(expected.decide("demo", "GetMedia"))] for _ in range(8)]
    assert outcomes == drawn
    assert len(set(drawn)) > 1


def test_random_faults_of_the_control_plane() -> None:
    options = ["--random-faults", "1", "--among", "access-denied", "--control-plane-faults"]
    with started("emulator", "--json", *options) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert reading(told) == "AccessDeniedException"


def test_a_certificate_and_a_clock_that_are_not_right() -> None:
    with started("emulator", "--json", "--tls", "--certificate", "expired") as process:
        assert process.stdout is not None
        assert reading(json.loads(process.stdout.readline())) == "ConnectFailed"
    with started("emulator", "--json", "--tls", "--tls-version", "1.2", "--clock-offset", "400") as process:
        assert process.stdout is not None
        assert reading(json.loads(process.stdout.readline())) == "InvalidSignatureException"


def test_what_a_missing_fragment_gives() -> None:
    with started("emulator", "--json", "--missing", "http-error") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        client = kvsfast.Client(
            told["region"],
            endpoint_url=told["endpoint_url"],
            aws_access_key_id=told["access_key_id"],
            aws_secret_access_key=told["secret_access_key"],
        )
        with pytest.raises(kvsfast.InvalidArgumentException):
            client.get_media("demo", kvsfast.StartSelector.after_fragment(str(1 << 156 | 7 << 92)))


def test_the_names_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "emulator", "--list-faults")
    assert shown.code == 0
    assert [line.split()[0] for line in shown.out.splitlines()] == list(PRESETS)
    shown = run(capsys, "emulator", "--list-faults", "--json")
    assert [json.loads(line)["name"] for line in shown.out.splitlines()] == list(PRESETS)


def test_requests_are_told_on_demand() -> None:
    with started("emulator", "--json", "-v", "--port", "0") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        client = kvsfast.Client(
            told["region"],
            endpoint_url=told["endpoint_url"],
            aws_access_key_id=told["access_key_id"],
            aws_secret_access_key=told["secret_access_key"],
        )
        with client.get_media("demo", kvsfast.StartSelector.earliest()) as media:
            assert sum(1 for _ in media.frames()) == len(FRAMES)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert b"POST /getMedia: 200" in err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--stream", "nofile"], 2, "is not NAME=FILE"),
        (["--stream", "a=/nowhere/clip.mkv"], 1, "/nowhere/clip.mkv: No such file"),
        (["--stream", f"a={__file__}"], 1, "the tree of kvsfast inspect"),
        (["--port", "70000"], 2, "is not a port"),
        (["--pieces", "huge"], 2, "invalid choice"),
        (["--bandwidth", "0"], 2, "whole number of at least 1"),
        (["--fault", "melt"], 2, "'melt' is no fault: see --list-faults"),
        (["--fault", "a=drip"], 2, "--fault is for stream a, and there are only demo"),
        (["--random-faults", "1.5"], 2, "'1.5' is no share"),
        (["--random-faults", "many"], 2, "'many' is no share"),
        (["--among", "drip"], 2, "need --random-faults"),
        (["--random-faults", "1", "--among", "drip", "--control-plane-faults"], 2, "nothing to draw from"),
        (["--certificate", "expired"], 2, "need tls=True"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str) -> None:
    shown = run(capsys, "emulator", *arguments)
    assert (shown.code, shown.out) == (code, "")
    assert told in shown.err


def test_a_port_in_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with started("emulator", "--json") as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["endpoint_url"].rpartition(":")[2]
        shown = run(capsys, "emulator", "--port", port)
    assert shown.code == 1
    assert "in use" in shown.err
    assert len(shown.err.splitlines()) == 1
