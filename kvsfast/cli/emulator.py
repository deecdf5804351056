"""``kvsfast emulator``: files served as streams of a local Kinesis Video service."""

from __future__ import annotations

import argparse
import logging
import shlex
import signal
import sys
from types import FrameType
from typing import NoReturn, get_args

from kvsfast.cli.arguments import count, seconds
from kvsfast.cli.output import Output, note
from kvsfast.emulator import PRESETS, Clock, Emulator, Faults, RandomFaults
from kvsfast.emulator.clip import CLIP
from kvsfast.emulator.faults import Operation
from kvsfast.emulator.options import Missing
from kvsfast.emulator.tls import CERTIFICATES, TLS_VERSIONS
from kvsfast.errors import UsageError

NAME = "emulator"
SUMMARY = "serve files as streams, for any AWS SDK"
DESCRIPTION = """\
A local Kinesis Video service: GetDataEndpoint and GetMedia over Matroska files,
with the tags, numbers, HTTP chunks, signatures, errors and limits of the real
one. It runs until Ctrl-C and listens on loopback only.
"""
EPILOG = """\
What it prints on standard output can be pasted into a shell; boto3 and kvsfast
then find the service without further arguments. Without --stream it serves the
clip that comes with kvsfast, as stream demo.

examples:
  kvsfast emulator --stream front-door=clip.mkv --loop
  kvsfast emulator --stream a=1.mkv --stream a=2.mkv     one after the other
  kvsfast emulator --pace realtime --pieces random --tls -v
  kvsfast emulator --fault reset-in-frame --fault empty-body     the next two calls
  kvsfast emulator --loop --random-faults 0.3 --seed 7           ever new ones
  kvsfast emulator --list-faults
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stream",
        action="append",
        default=[],
        type=_stream,
        metavar="NAME=FILE",
        help="a stream and its file; repeatable",
    )
    parser.add_argument(
        "--loop", action="store_true", help="repeat the media for ever, under new numbers and times"
    )
    parser.add_argument(
        "--pace",
        choices=("max", "realtime"),
        default="max",
        help="max: all is stored at the start, and sent as fast as it is taken; "
        "realtime: ingested from the start on, frame by frame",
    )
    parser.add_argument(
        "--pieces",
        choices=("element", "coalesced", "random", "byte"),
        default="element",
        help="what an HTTP chunk holds (default: element, as the real service does)",
    )
    parser.add_argument("--tls", action="store_true", help="https, by a certificate made for this run")
    parser.add_argument(
        "--certificate", choices=CERTIFICATES, default="valid", help="what kind of one (default: valid)"
    )
    parser.add_argument("--tls-version", choices=TLS_VERSIONS, help="speak this one only (default: both)")
    parser.add_argument(
        "--port", type=_port, default=0, metavar="N", help="of the control plane (default: any free one)"
    )
    parser.add_argument(
        "--media-port", type=_port, default=0, metavar="N", help="of GetMedia (default: any free one)"
    )
    parser.add_argument(
        "--region", default="us-east-1", metavar="NAME", help="what requests must be signed for"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object of what to connect with")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line on stderr per request")
    _add_endings(parser)
    slower = parser.add_argument_group("limits of the service")
    slower.add_argument(
        "--no-limits", action="store_true", help="any number of calls and connections per stream"
    )
    slower.add_argument(
        "--bandwidth", type=count, metavar="N", help="bytes per second of a response (real: 25000000)"
    )
    slower.add_argument("--fragments-per-second", type=seconds, metavar="N", help="of a response (real: 5)")
    slower.add_argument(
        "--session-seconds", type=seconds, default=2700.0, metavar="S", help="a response ends after (2700)"
    )
    slower.add_argument(
        "--idle-seconds", type=seconds, metavar="S", help="it ends after so long without media"
    )
    slower.add_argument(
        "--retention-seconds", type=seconds, metavar="S", help="how far back EARLIEST reaches"
    )
    slower.add_argument(
        "--opaque-tokens", action="store_true", help="tokens that are not the fragment numbers"
    )


def _add_endings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("errors and endings")
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="[STREAM=]NAME",
        help="what the next GetMedia call meets, of this stream or of each; repeatable, one call each",
    )
    group.add_argument("--list-faults", action="store_true", help="show the names, and end")
    group.add_argument(
        "--random-faults", type=_share, metavar="SHARE", help="this share of the calls meets one (0 to 1)"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="settles which (default: 0)")
    group.add_argument(
        "--among",
        type=_names,
        metavar="NAME,...",
        help="draw from these, or from all (default: those that pass by themselves)",
    )
    group.add_argument(
        "--control-plane-faults", action="store_true", help="GetDataEndpoint meets random ones, too"
    )
    group.add_argument(
        "--session-ends-at",
        choices=("fragment", "frame"),
        default="fragment",
        help="where a response ends when its time is over (default: fragment)",
    )
    group.add_argument(
        "--missing",
        choices=get_args(Missing),
        default="error-document",
        help="what a start after an expired or unknown fragment gives (default: error-document)",
    )
    group.add_argument(
        "--clock-offset",
        type=float,
        default=0.0,
        metavar="S",
        help="set the service's clock forward; over 300 or below -300 no signature is good",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.verbose:
        logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
        logging.getLogger("kvsfast.emulator").setLevel(logging.INFO)
    if arguments.list_faults:
        return _list_faults(Output(as_json=arguments.json))
    streams: dict[str, list[str]] = {}
    for name, file in arguments.stream or [("demo", str(CLIP))]:
        streams.setdefault(name, []).append(file)
    service = Emulator(
        {name: files[0] if len(files) == 1 else files for name, files in streams.items()},
        pace=arguments.pace,
        loop=arguments.loop,
        pieces=arguments.pieces,
        port=arguments.port,
        media_port=arguments.media_port,
        tls=arguments.tls,
        certificate=arguments.certificate,
        tls_version=arguments.tls_version,
        region=arguments.region,
        limits=not arguments.no_limits,
        bandwidth=arguments.bandwidth,
        fragments_per_second=arguments.fragments_per_second,
        session_seconds=arguments.session_seconds,
        idle_seconds=arguments.idle_seconds,
        retention_seconds=arguments.retention_seconds,
        opaque_tokens=arguments.opaque_tokens,
        faults=_faults(arguments, list(streams)),
        clock=Clock(arguments.clock_offset),
        seed=arguments.seed,
    )
    signal.signal(signal.SIGTERM, _terminate)
    with service:
        for name in streams:
            service.configure(name, session_ends_at=arguments.session_ends_at, missing=arguments.missing)
        _announce(service, list(streams), Output(as_json=arguments.json))
        service.serve_forever()
    return 0


def _faults(arguments: argparse.Namespace, streams: list[str]) -> Faults:
    """What was planned, and after that what chance gives."""
    operations: list[Operation] = ["GetMedia"]
    if arguments.control_plane_faults:
        operations.append("GetDataEndpoint")
    if arguments.random_faults is not None:
        share = arguments.random_faults
        faults: Faults = RandomFaults(arguments.seed, share, among=arguments.among, operations=operations)
    elif arguments.among or arguments.control_plane_faults:
        raise UsageError("--among and --control-plane-faults need --random-faults")
    else:
        faults = Faults()
    for stream, fault in arguments.fault:
        if stream is not None and stream not in streams:
            raise UsageError(f"--fault is for stream {stream}, and there are only {', '.join(streams)}")
        for name in streams if stream is None else [stream]:
            faults.plan(name, fault)
    return faults


def _list_faults(output: Output) -> int:
    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        if output.as_json:
            output.record(name=name, meaning=preset.meaning, passes=preset.passes)
        else:
            output.line((name.ljust(width), "bold"), f"  {preset.meaning}")
    return 0


def _announce(service: Emulator, streams: list[str], output: Output) -> None:
    if output.as_json:
        output.record(
            endpoint_url=service.endpoint_url,
            media_endpoint_url=service.media_endpoint_url,
            ca_bundle=service.ca_certificate_path,
            region=service.region,
            access_key_id=service.credentials.access_key,
            secret_access_key=service.credentials.secret_key,
            streams={name: service.stream_arn(name) for name in streams},
        )
        return
    note(f"control plane {service.endpoint_url}, media {service.media_endpoint_url}, region {service.region}")
    for name in streams:
        note(f"stream {name}: {service.stream_arn(name)}")
    note("paste these into the shell of the client; Ctrl-C ends the service")
    for name, value in environment(service).items():
        output.line(("export ", "dim"), f"{name}={shlex.quote(value)}")
    sys.stdout.flush()


def environment(service: Emulator) -> dict[str, str]:
    """The variables by which boto3 and kvsfast find the service and are let in."""
    variables = {
        "AWS_ENDPOINT_URL_KINESIS_VIDEO": service.endpoint_url,
        "AWS_DEFAULT_REGION": service.region,
        "AWS_ACCESS_KEY_ID": service.credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": service.credentials.secret_key,
    }
    if service.ca_certificate_path is not None:
        variables["AWS_CA_BUNDLE"] = service.ca_certificate_path
    return variables


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM, as supervisors send it: leave through the ``with``, so that nothing is left behind."""
    sys.exit(128 + number)


def _stream(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not equals or not name or not file:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name, file


def _fault(text: str) -> tuple[str | None, str]:
    stream, equals, name = text.rpartition("=")
    return stream if equals else None, _name(name)


def _names(text: str) -> list[str]:
    return list(PRESETS) if text == "all" else [_name(name) for name in text.split(",")]


def _name(text: str) -> str:
    if text not in PRESETS:
        raise argparse.ArgumentTypeError(f"{text!r} is no fault: see --list-faults")
    return text


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: expected 0 to 1")
    return share


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)
