"""``kvsfast get-media`` against the local service: what it writes, shows, and says when it fails."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

import kvsfast
from kvsfast.emulator import Cut, Emulator, Stall
from kvsfast.emulator.clip import CLIP
from tests.cli.command import PATIENCE, command, environment, place, run, run_on_terminal, sign_in, started
from tests.ffmpeg_tools import needs_ffmpeg, packets

EARLIEST = ("--start", "EARLIEST")


def payloads(path: Path) -> list[bytes]:
    """The frames of a file or of a recorded response."""
    return [bytes(frame) for frame in kvsfast.parse(path).frames()]


def test_writes_the_fragments_as_they_came(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, service: Emulator
) -> None:
    target = tmp_path / "received.mkv"
    shown = run(capsys, "get-media", "demo", *EARLIEST, *place(service), "-o", target, "--json")
    assert (shown.code, shown.err) == (0, "")
    *fragments, summary = shown.records
    assert [fragment["number"] for fragment in fragments] == [
        service.stream("demo").fragment(i).number for i in range(8)
    ]
    assert target.stat().st_size == summary["size"] == sum(fragment["size"] for fragment in fragments)
    assert payloads(target) == payloads(CLIP)
    assert (summary["fragments"], summary["frames"], summary["incomplete"]) == (8, 8 * 72, 0)
    assert summary["continuation_token"] == fragments[-1]["number"]


def test_shows_a_line_per_fragment_and_where_to_go_on(
    capsys: pytest.CaptureFixture[str], service: Emulator
) -> None:
    shown = run(capsys, "get-media", "demo", *EARLIEST, *place(service))
    lines = shown.out.splitlines()
    assert lines[0].split()[:2] == ["fragment", "number"]
    numbers = [service.stream("demo").fragment(i).number for i in range(8)]
    assert [line.split()[0] for line in lines[1:]] == numbers
    assert "8 fragments, 576 frames, 0.3 MB" in shown.err
    assert f"go on with --start token:{numbers[-1]}" in shown.err


def test_goes_on_from_a_token(capsys: pytest.CaptureFixture[str], service: Emulator) -> None:
    first = run(capsys, "get-media", "demo", *EARLIEST, *place(service), "--fragments", 3, "--json").records
    token = first[-1]["continuation_token"]
    rest = run(capsys, "get-media", "demo", "--start", f"token:{token}", *place(service), "--json").records
    by_number = run(
        capsys, "get-media", "demo", "--start", f"after:{token}", *place(service), "--json"
    ).records
    assert len(first) == 3 + 1
    assert [f["number"] for f in rest[:-1]] == [
        service.stream("demo").fragment(i).number for i in range(3, 8)
    ]
    assert [f["number"] for f in by_number[:-1]] == [f["number"] for f in rest[:-1]]


@pytest.mark.parametrize("spelling", ["epoch", "iso"])
@pytest.mark.parametrize("kind", ["server", "producer"])
def test_starts_at_a_time(
    capsys: pytest.CaptureFixture[str], service: Emulator, kind: str, spelling: str
) -> None:
    fragment = service.stream("demo").fragment(5)
    milliseconds = fragment.server_ms if kind == "server" else fragment.producer_ms
    # The local service starts with the first fragment at or after the time.
    at = kvsfast.StartSelector.from_dict(
        {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": (milliseconds - 100) / 1000}
    ).timestamp
    assert at is not None
    time = str((milliseconds - 100) / 1000) if spelling == "epoch" else at.isoformat()
    shown = run(
        capsys, "get-media", "demo", "--start", f"{kind}:{time}", *place(service), "--json", "--fragments", 1
    )
    assert shown.records[0]["number"] == fragment.number


def test_stops_after_the_frame_that_was_asked_for(
    capsys: pytest.CaptureFixture[str], service: Emulator
) -> None:
    shown = run(capsys, "get-media", "demo", *EARLIEST, *place(service), "--frames", 100, "--json")
    assert (shown.code, shown.records[-1]["fragments"]) == (0, 2)


@needs_ffmpeg
def test_splits_into_files_that_play(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, service: Emulator
) -> None:
    shown = run(capsys, "get-media", "demo", *EARLIEST, *place(service), "--split", tmp_path / "parts")
    assert shown.code == 0
    files = sorted((tmp_path / "parts").iterdir())
    assert [file.name for file in files] == [
        f"{service.stream('demo').fragment(i).number}.mkv" for i in range(8)
    ]
    assert [len(packets(file)) for file in files] == [72] * 8
    assert [frame for file in files for frame in payloads(file)] == payloads(CLIP)


def test_media_to_standard_output(service: Emulator) -> None:
    done = subprocess.run(
        command("get-media", "demo", *EARLIEST, *place(service), "-o", "-"),
        env=environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert [bytes(frame) for frame in kvsfast.parse(done.stdout).frames()] == payloads(CLIP)
    assert b"8 fragments, 576 frames" in done.stderr


def test_over_tls_with_and_without_trust(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Emulator({"demo": CLIP}, tls=True) as service:
        sign_in(service, monkeypatch)
        call = (
            "get-media",
            "demo",
            *EARLIEST,
            "--endpoint-url",
            service.endpoint_url,
            "--region",
            service.region,
            "--json",
        )
        assert run(capsys, *call, "--ca-bundle", service.ca_certificate_path).records[-1]["fragments"] == 8
        trusting = run(capsys, *call, "--no-verify")
        assert (trusting.code, trusting.err) == (0, "")
        refused = run(capsys, *call)
        assert (refused.code, refused.out) == (1, "")
        assert "AWS_CA_BUNDLE" in refused.err
        assert len(refused.err.splitlines()) == 1


def test_a_known_data_endpoint_is_not_asked_for(
    capsys: pytest.CaptureFixture[str], service: Emulator
) -> None:
    service.fail_next("demo", "InternalFailure", times=99, operation="GetDataEndpoint")
    shown = run(
        *(capsys, "get-media", "demo", *EARLIEST, "--json", "--region", service.region),
        *("--media-endpoint-url", service.media_endpoint_url),
    )
    assert shown.records[-1]["fragments"] == 8


def test_live_table_on_a_terminal(service: Emulator) -> None:
    code, shown = run_on_terminal("get-media", "demo", *EARLIEST, *place(service))
    assert code == 0
    assert b"GetMedia demo" in shown
    assert b"8 fragments" in shown
    # Of a narrow terminal's number only the end is shown.
    assert service.stream("demo").fragment(7).number[-16:].encode() in shown


def test_media_are_not_written_to_a_terminal(service: Emulator) -> None:
    code, shown = run_on_terminal("get-media", "demo", *EARLIEST, *place(service), "-o", "-")
    assert code == 2
    assert b"redirect it, or name a file" in shown


def test_ctrl_c_leaves_whole_fragments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "received.mkv"
    with Emulator({"demo": CLIP}, loop=True, pace="realtime") as service:
        sign_in(service, monkeypatch)
        with started("get-media", "demo", *EARLIEST, *place(service), "-o", target, "--json") as process:
            assert process.stdout is not None
            assert b'"fragment"' in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert (b'"summary"' in out, err) == (True, b"")
    fragments = list(kvsfast.parse(target, strict=True).fragments())
    assert fragments
    assert all(fragment.is_complete for fragment in fragments)


def test_a_broken_response_leaves_whole_fragments(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, service: Emulator
) -> None:
    target = tmp_path / "received.mkv"
    service.faults.plan("demo", Cut("reset", fragment=3))
    shown = run(capsys, "get-media", "demo", *EARLIEST, *place(service), "-o", target)
    assert shown.code == 1
    assert "the last fragment was cut and is left out" in shown.err
    assert f"go on with --start token:{service.stream('demo').fragment(2).number}" in shown.err
    assert shown.err.splitlines()[-1].startswith("kvsfast get-media: ")
    assert [f.number for f in kvsfast.parse(target, strict=True).fragments()] == [
        service.stream("demo").fragment(i).number for i in range(3)
    ]


def test_silence_is_told_and_what_to_do_about_it(
    capsys: pytest.CaptureFixture[str], service: Emulator
) -> None:
    service.faults.plan("demo", Stall())
    shown = run(capsys, "get-media", "demo", *EARLIEST, *place(service), "--idle-timeout", "1")
    assert shown.code == 1
    assert "idle_timeout=1" in shown.err
    assert "is a producer sending? --start EARLIEST" in shown.err


def test_seconds_are_a_good_end(capsys: pytest.CaptureFixture[str], service: Emulator) -> None:
    service.faults.plan("demo", Stall(fragment=2))
    shown = run(capsys, "get-media", "demo", *EARLIEST, *place(service), "--seconds", "3", "--json")
    assert (shown.code, shown.err) == (0, "")
    assert shown.records[-1]["fragments"] == 2 + shown.records[-1]["incomplete"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("ResourceNotFoundException", "check the stream's name and --region"),
        ("NotAuthorizedException", "kinesisvideo:GetMedia"),
        ("ConnectionLimitExceededException", "end another reader"),
    ],
)
def test_refusals_say_what_to_do(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    service: Emulator,
    code: str,
    told: str,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    service.fail_next("demo", code)
    shown = run(capsys, "get-media", "demo", *place(service))
    assert (shown.code, shown.out) == (1, "")
    assert code in shown.err
    assert told in shown.err
    assert len(shown.err.splitlines()) == 1


def test_no_credentials(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, service: Emulator
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    shown = run(capsys, "get-media", "demo", *place(service))
    assert shown.code == 1
    assert "give --profile, or set AWS_ACCESS_KEY_ID" in shown.err


def test_secrets_are_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, service: Emulator
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-very-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "also-very-secret")
    shown = run(capsys, "get-media", "demo", *place(service), "--debug")
    assert shown.code == 1
    assert "Traceback" in shown.err
    assert "InvalidSignatureException" in shown.err
    assert "very-secret" not in shown.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--start", "YESTERDAY"], "is none of NOW, EARLIEST, after:NUMBER"),
        (["--start", "after:abc"], "expected 1 to 128 digits"),
        (["--start", "server:2024-05-01T12:00:00"], "has no time zone"),
        (["--start", "producer:noon"], "is no time"),
        (["--seconds", "0"], "is not seconds, more than 0"),
        (["--seconds", "inf"], "is not seconds, more than 0"),
        (["--fragments", "-1"], "is not a whole number of at least 1"),
        (["-o", "-", "--json"], "both want standard output"),
        (["--no-verify", "--ca-bundle", "x"], "not allowed with"),
        (["--region", "not a region"], "region"),
        (["--endpoint-url", "https://s-12345678.kinesisvideo.eu-west-1.amazonaws.com"], "media_endpoint_url"),
    ],
)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str], service: Emulator, arguments: list[str], told: str
) -> None:
    shown = run(capsys, "get-media", "demo", "--region", service.region, *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert told in shown.err


def test_a_number_out_of_the_media_is_no_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.mkv_writer import service_fragment
    from tests.wire import Server, respond

    evil = service_fragment(number="../../evil") + service_fragment(number="/tmp/evil")
    with Server(respond(evil)) as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        shown = run(
            *(capsys, "get-media", "demo", "--region", "eu-west-1", "--split", tmp_path / "a" / "b"),
            *("--media-endpoint-url", server.url),
        )
    assert shown.code == 0
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["000001.mkv", "000002.mkv"]
