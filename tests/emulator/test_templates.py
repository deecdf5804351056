"""The service's tags, against the bytes that were recorded."""

from __future__ import annotations

from kvsfast.emulator import templates

NUMBER = "91343852333181432392682062607743920146159169392"
BEFORE = [
    bytes.fromhex("1254C367 100000EB"),
    bytes.fromhex("7373 100000E5"),
    bytes.fromhex("67C8 1000005B"),
    bytes.fromhex("45A3 10000020") + b"AWS_KINESISVIDEO_FRAGMENT_NUMBER",
    bytes.fromhex("4487 1000002F") + NUMBER.encode(),
    bytes.fromhex("67C8 1000003B"),
    bytes.fromhex("45A3 10000021") + b"AWS_KINESISVIDEO_SERVER_TIMESTAMP",
    bytes.fromhex("4487 1000000E") + b"1511852109.126",
    bytes.fromhex("67C8 1000003D"),
    bytes.fromhex("45A3 10000023") + b"AWS_KINESISVIDEO_PRODUCER_TIMESTAMP",
    bytes.fromhex("4487 1000000E") + b"1511852108.513",
]
AFTER = b"".join(
    [
        bytes.fromhex("1254C367 100000A3 7373 1000009D 67C8 10000033 45A3 10000022"),
        b"AWS_KINESISVIDEO_MILLIS_BEHIND_NOW",
        bytes.fromhex("4487 10000005") + b"15858",
        bytes.fromhex("67C8 1000005E 45A3 10000023"),
        b"AWS_KINESISVIDEO_CONTINUATION_TOKEN",
        bytes.fromhex("4487 1000002F") + NUMBER.encode(),
    ]
)


def test_before_the_cluster() -> None:
    assert templates.before_cluster(NUMBER, "1511852109.126", "1511852108.513") == BEFORE
    assert [len(piece) for piece in BEFORE] == [8, 6, 6, 38, 53, 6, 39, 20, 6, 41, 20]


def test_after_the_cluster() -> None:
    assert templates.after_cluster(15858, NUMBER) == [AFTER]
    assert len(templates.after_cluster(86_400_575, NUMBER)[0]) == 174


def test_small_timestamps_are_not_padded() -> None:
    assert [templates.seconds(ms) for ms in (0, 5, 5000, 1511852109126)] == [
        "0.000",
        "0.005",
        "5.000",
        "1511852109.126",
    ]


def test_error_document() -> None:
    header, segment, *tags = templates.error_document(3000, "FRAGMENT_NOT_FOUND", NUMBER)
    assert header.startswith(b"\x1a\x45\xdf\xa3") and header[4] & 0x7F == len(header) - 5
    assert segment == bytes.fromhex("18538067 01FFFFFFFFFFFFFF")
    # Sizes of the SimpleTags as in the one error document that was ever pasted into an issue.
    assert [piece for piece in tags if len(piece) == 6][1:] == [
        bytes.fromhex(f"67C8 100000{size}") for size in ("39", "29", "5B")
    ]
    assert b"".join(tags).count(b"AWS_KINESISVIDEO_") == 3
