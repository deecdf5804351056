"""``kvsfast emulator`` as a process: what it prints leads boto3 and kvsfast to the streams."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from pathlib import Path

import boto3
import pytest

import kvsfast
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
