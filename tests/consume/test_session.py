"""Sessions over a played service: what is delivered, what is asked for, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import kvsfast
from kvsfast import (
    Consumer,
    DigestMismatch,
    Ending,
    Fragment,
    FragmentEnd,
    FragmentStart,
    Frame,
    Gap,
    GapError,
    GapReason,
    Idle,
    MediaError,
    NotAuthorizedException,
    Reconnected,
    ResumeFailed,
    Rewound,
    ServiceError,
    SessionEnd,
    StartSelector,
    StreamReset,
    TransportError,
    Until,
)
from tests.consume.fake import EPOCH, FakeService, Reply, Stored, stored
from tests.mkv_writer import error_document

RESET = TransportError("reset")
#: Inside the last frame of a fragment.
CUT = len(stored(1).media) - 190
NOW, EARLIEST = StartSelector.now(), StartSelector.earliest()


def numbers(fragments: list[Stored]) -> list[str]:
    return [each.number for each in fragments]


def payloads(fragments: list[Stored]) -> list[bytes]:
    return [payload for each in fragments for payload in each.frames]


def of_kind(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def take(service: FakeService, count: int, start: StartSelector = EARLIEST, **options: Any) -> list[str]:
    """Consume until ``count`` fragments have come, and check that all bodies are closed."""
    with service.consumer(start, until=Until(fragments=count), **options) as consumer:
        found = [fragment.number or "" for fragment in consumer]
        assert consumer.end is SessionEnd.UNTIL
    assert not service.open_bodies
    return found


# -- going on


def test_responses_that_end_cleanly_follow_each_other_without_a_wait() -> None:
    fragments = [stored(i) for i in range(1, 13)]
    service = FakeService(fragments, *(Reply(most=3) for _ in range(4)))
    assert take(service, 12) == numbers(fragments)
    assert service.clock.pauses == []
    assert service.asked[1:] == [StartSelector.from_token(fragments[at].number) for at in (2, 5, 8)]


def test_sessions_of_45_minutes() -> None:
    fragments = [stored(i) for i in range(1, 7)]
    service = FakeService(fragments, *(Reply(most=1, fault=2700.0) for _ in range(5)))
    events: list[Any] = []
    assert take(service, 6, on_event=events.append, stall_after=3600.0) == numbers(fragments)
    assert service.clock.now - service.started == 5 * 2700
    assert {event.ending for event in of_kind(events, Reconnected)} == {Ending.CLEAN}


@pytest.mark.parametrize("fault", [None, RESET, MediaError("damage")], ids=["eof", "reset", "damage"])
@pytest.mark.parametrize("mode", ["fragments", "frames", "events"])
def test_a_cut_at_any_byte(mode: str, fault: TransportError | MediaError | None) -> None:
    """Whatever arrived of the first response, all comes once and in order."""
    fragments = [stored(i, size=9) for i in (1, 2, 3)]
    size = sum(len(each.media) for each in fragments)
    for cut in range(0, size + 1, 3 if mode == "fragments" else 7):
        service = FakeService(fragments, Reply(cut=cut, fault=fault))
        with service.consumer(until=Until(fragments=3)) as consumer:
            found = read(consumer, mode)
        expected: list[Any] = numbers(fragments) if mode == "fragments" else payloads(fragments)
        if mode == "events":
            expected = [
                each
                for one in fragments
                for each in (("start", one.number), *one.frames, ("end", one.number))
            ]
        assert found == expected, f"cut at byte {cut}"
        assert not service.open_bodies


def read(consumer: Consumer, mode: str) -> list[Any]:
    """What a mode gives, in a form that can be compared."""
    if mode == "fragments":
        return [fragment.number for fragment in consumer]
    if mode == "frames":
        return [bytes(frame) for frame in consumer.frames()]
    found: list[Any] = []
    for event in consumer.events():
        if isinstance(event, FragmentStart):
            found.append(("start", event.number))
        elif isinstance(event, FragmentEnd):
            found.append(("end", event.number))
        elif isinstance(event, Frame):
            found.append(bytes(event))
    return found


def test_a_fragment_cut_twice_further_and_less_far() -> None:
    fragments = [stored(1, frames=9)]
    size = len(fragments[0].media)
    for first, second in ((size - 300, 700), (700, size - 300), (size - 300, size - 250)):
        service = FakeService(fragments, Reply(cut=first, fault=RESET), Reply(cut=second))
        with service.consumer(until=Until(fragments=1)) as consumer:
            assert read(consumer, "frames") == payloads(fragments)


def test_an_empty_stream_is_asked_once_a_backoff_step() -> None:
    service = FakeService()
    events: list[Any] = []
    with service.consumer(until=Until(seconds=3600), on_event=events.append, idle_after=60.0) as consumer:
        assert list(consumer) == []
        assert consumer.end is SessionEnd.UNTIL
    gaps = [late - soon for soon, late in zip(service.called_at, service.called_at[1:], strict=False)]
    assert gaps[:6] == [0.5, 1, 2, 4, 8, 16]
    assert set(gaps[6:]) == {30}
    assert len(service.called_at) == 125
    idle = of_kind(events, Idle)
    assert [round(event.seconds) for event in idle] == list(range(60, 3601, 60))


def test_media_after_a_pause_resets_the_backoff() -> None:
    first, second = stored(1), stored(2)
    service = FakeService([first], *(Reply(media=b"") for _ in range(3)))
    service.on_call = lambda: service.fragments.append(second) if len(service.asked) == 7 else None
    assert take(service, 2) == [first.number, second.number]
    gaps = [late - soon for soon, late in zip(service.called_at, service.called_at[1:], strict=False)]
    assert gaps == [0.5, 1, 2, 0, 0.5, 1]


def test_silence_is_told_and_then_given_up_for_dead() -> None:
    fragments = [stored(1), stored(2)]
    service = FakeService(fragments, Reply(most=1, fault=1e9))
    events: list[Any] = []
    assert take(service, 2, on_event=events.append, idle_after=10.0, stall_after=35.0) == numbers(fragments)
    assert [event.seconds for event in of_kind(events, Idle)] == [10, 20, 30, 40]
    (again,) = of_kind(events, Reconnected)
    assert again.ending is Ending.STALL and again.start == StartSelector.from_token(fragments[0].number)


def test_time_that_the_user_takes_is_not_idle() -> None:
    fragments = [stored(1), stored(2), stored(3)]
    service = FakeService(fragments)
    events: list[Any] = []
    with service.consumer(until=Until(fragments=3), on_event=events.append) as consumer:
        for _ in consumer:
            service.clock.pass_by(500)
    assert events == []


def test_events_tell_in_their_place() -> None:
    fragments = [stored(1), stored(2)]
    service = FakeService(fragments, Reply(most=1, fault=25.0))
    with service.consumer(until=Until(fragments=2), idle_after=10.0) as consumer:
        kinds = [type(event).__name__ for event in consumer.events()]
    one = ["FragmentStart", *["Frame"] * 3, "FragmentEnd"]
    assert kinds == [*one, "Idle", "Idle", "Reconnected", *one]


# -- where it begins


def test_now_without_media_is_repeated_as_the_time_of_its_answer() -> None:
    fragments = [stored(1), stored(2)]
    service = FakeService([], Reply(media=b""), Reply(media=b""))
    service.clock.pass_by(0.75)
    service.on_call = lambda: service.fragments.extend(fragments) if len(service.asked) == 3 else None
    assert take(service, 2, NOW) == numbers(fragments)
    assert service.asked == [NOW, StartSelector.at_server_time(EPOCH), StartSelector.at_server_time(EPOCH)]


def test_now_that_was_refused_is_repeated_as_the_time_of_the_refusal() -> None:
    """The first response of all is one of the service's clock, whatever it says."""
    service = FakeService([stored(5)])
    headers = {"Date": service.date_header()}
    service.replies.append(Reply(error=ServiceError("busy", status=503, retryable=True, headers=headers)))
    assert take(service, 1, NOW) == numbers(service.fragments)
    assert service.asked == [NOW, StartSelector.at_server_time(EPOCH)]


def test_now_that_was_cut_goes_on_with_the_same_fragment() -> None:
    fragments = [stored(1, at=-4.0), stored(2, at=-2.0)]
    service = FakeService(fragments, Reply(cut=CUT, fault=RESET))
    with service.consumer(NOW, until=Until(fragments=1)) as consumer:
        assert read(consumer, "frames") == payloads(fragments[1:])
    assert service.asked[1] == StartSelector.at_server_time(EPOCH - timedelta(seconds=2))


def test_now_without_a_date_is_now_again_and_tells_the_gap() -> None:
    service = FakeService([stored(1)], Reply(media=b"", date=False))
    events: list[Any] = []
    take(service, 1, NOW, on_event=events.append)
    assert service.asked == [NOW, NOW]
    assert of_kind(events, Gap) == [
        Gap(GapReason.NO_DATE, None, stored(1).number, None, stored(1).server_ms, None)
    ]


# -- order


def test_what_was_delivered_is_dropped_and_counted() -> None:
    fragments = [stored(i) for i in range(1, 5)]
    service = FakeService(fragments, Reply(most=2), Reply(media=b"".join(each.media for each in fragments)))
    with service.consumer(until=Until(fragments=4)) as consumer:
        assert [fragment.number for fragment in consumer] == numbers(fragments)
        assert consumer.stats.duplicates == 2


def test_numbers_are_compared_as_integers() -> None:
    low, high = stored(1), stored(2)
    short = Stored(
        "99", low.server_ms, 0, low.frames, low.media.replace(low.number.encode(), b"99".rjust(47, b"0"))
    )
    assert short.media != low.media
    service = FakeService(media_of := [low, high], Reply(media=short.media + low.media + high.media))
    found = take(service, 3)
    assert found == ["99".rjust(47, "0"), *numbers(media_of)]


def test_a_stream_that_was_created_anew() -> None:
    old = [stored(1001, at=1), stored(1002, at=2)]
    new = [stored(1, at=50), stored(2, at=51)]
    gone = error_document("X", 4000)
    service = FakeService(old, Reply(), *(Reply(media=gone) for _ in range(3)))
    service.on_call = lambda: setattr(service, "fragments", new) if len(service.asked) == 2 else None
    events: list[Any] = []
    store = kvsfast.MemoryCheckpoints()
    with service.consumer(
        until=Until(fragments=4), on_event=events.append, store=store, auto_commit=True
    ) as consumer:
        assert [fragment.number for fragment in consumer] == numbers(old + new)
    assert of_kind(events, StreamReset) == [
        StreamReset(old[1].number, new[0].number, old[1].server_ms, new[0].server_ms)
    ]
    assert of_kind(events, Gap) == []
    saved = store.saved("door")
    assert saved is not None and saved.fragment_number == new[1].number


def test_a_lower_number_received_earlier_is_no_new_stream() -> None:
    service = FakeService(
        [], Reply(media=stored(5, at=5).media + stored(4, at=4).media + stored(6, at=6).media)
    )
    assert take(service, 2) == [stored(5, at=5).number, stored(6, at=6).number]


@pytest.mark.parametrize(("rewinds", "delivered"), [("deliver", 4), ("report", 4), ("drop", 3)])
def test_media_that_a_producer_sent_again(rewinds: str, delivered: int) -> None:
    again = stored(1001, producer_ms=stored(2).producer_ms)
    fragments = [stored(1), stored(2), again, stored(1002)]
    service = FakeService(fragments)
    events: list[Any] = []
    with service.consumer(
        until=Until(number=fragments[-1].number), rewinds=rewinds, on_event=events.append
    ) as consumer:
        assert len(list(consumer)) == delivered
    told = of_kind(events, Rewound)
    assert len(told) == (rewinds != "deliver")
    if told:
        ms = stored(2).producer_ms
        assert told == [Rewound(again.number, ms, ms, rewinds == "report")]


def test_media_that_was_dropped_as_rewound_is_not_asked_for_again() -> None:
    again = stored(1001, producer_ms=stored(1).producer_ms)
    service = FakeService([stored(1), again, stored(1002)], Reply(most=2))
    assert take(service, 2, rewinds="drop") == [stored(1).number, stored(1002).number]
    assert service.asked[1] == StartSelector.from_token(again.number)


# -- gaps


def lost(service: FakeService, **options: Any) -> tuple[list[str], list[Any], Consumer]:
    events: list[Any] = []
    with service.consumer(until=Until(fragments=2), on_event=events.append, **options) as consumer:
        return [fragment.number or "" for fragment in consumer], of_kind(events, Gap), consumer


def service_that_lost() -> FakeService:
    """It has fragment 1, and when asked for what follows, only from 9 on."""
    gone = error_document("FRAGMENT_NOT_FOUND", 4000)
    service = FakeService([stored(1)], Reply(), *(Reply(media=gone) for _ in range(3)))
    service.on_call = lambda: service.fragments.append(stored(9)) if len(service.asked) == 2 else None
    return service


def test_a_gap_that_the_service_tells_is_reported_with_what_is_missing() -> None:
    service = service_that_lost()
    found, gaps, consumer = lost(service)
    assert found == [stored(1).number, stored(9).number]
    (gap,) = gaps
    assert (gap.reason, gap.after, gap.before) == (GapReason.NOT_FOUND, *found)
    assert (gap.after_server_timestamp_ms, gap.before_server_timestamp_ms) == (
        stored(1).server_ms,
        stored(9).server_ms,
    )
    assert gap.error.error_id == 4000
    assert consumer.stats.gaps == 1
    # Three times after the fragment, then at its time.
    token = StartSelector.from_token(stored(1).number)
    at = StartSelector.at_server_time(datetime.fromtimestamp(stored(1).server_ms / 1000, UTC))
    assert service.asked == [EARLIEST, token, token, token, at]


def test_a_start_that_is_gone_is_a_gap_too() -> None:
    gone = error_document("FRAGMENT_NOT_FOUND", 4000)
    service = FakeService([stored(9)], *(Reply(media=gone) for _ in range(3)))
    events: list[Any] = []
    assert take(service, 1, StartSelector.after_fragment("7"), on_event=events.append) == [stored(9).number]
    assert [(gap.after, gap.before) for gap in of_kind(events, Gap)] == [("7", stored(9).number)]
    assert service.asked[-1] == EARLIEST


def test_a_gap_can_be_an_error() -> None:
    service = service_that_lost()
    with service.consumer(gaps="raise") as consumer:
        iterator = iter(consumer)
        next(iterator)
        with pytest.raises(GapError, match="media is missing") as caught:
            next(iterator)
        assert caught.value.gap.before == stored(9).number
        assert caught.value.last_token == stored(1).number
        with pytest.raises(GapError):
            next(iterator)
        assert consumer.end is SessionEnd.FAILED
    assert not service.open_bodies


def test_a_fragment_that_was_cut_and_never_comes_again_is_a_gap() -> None:
    service = FakeService([stored(1)], Reply(cut=CUT, fault=RESET))
    service.on_call = lambda: setattr(service, "fragments", [stored(2)]) if len(service.asked) == 2 else None
    events: list[Any] = []
    with service.consumer(until=Until(fragments=1), on_event=events.append) as consumer:
        found = read(consumer, "frames")
    assert found[-3:] == payloads([stored(2)]) and 0 < len(found) - 3 < 3
    assert [(gap.reason, gap.before) for gap in of_kind(events, Gap)] == [(GapReason.CUT, stored(2).number)]


def test_a_jump_in_the_numbers_is_none() -> None:
    events: list[Any] = []
    service = FakeService([stored(1), stored(1001), stored(50_001)])
    take(service, 3, on_event=events.append)
    assert events == []


# -- fragments that are broken each time


def poisoned(mode: str, fault: Any, **options: Any) -> tuple[list[Any], list[Any], FakeService]:
    """Three fragments, of which the second is cut in the middle of its last frame each time."""
    fragments = [stored(1), stored(2), stored(3)]
    first, cut = len(fragments[0].media), len(fragments[1].media) - 190
    replies = [Reply(cut=first + cut, fault=fault), *(Reply(cut=cut, fault=fault) for _ in range(2))]
    service = FakeService(fragments, *replies)
    events: list[Any] = []
    with service.consumer(
        until=Until(number=fragments[2].number), on_event=events.append, max_refetches=2, **options
    ) as consumer:
        found: list[Any] = []
        if mode == "fragments":
            found = [(fragment.number, fragment.is_complete) for fragment in consumer]
        else:
            found = read(consumer, mode)
    return found, events, service


FAULTS = pytest.mark.parametrize("fault", [None, RESET, MediaError("damage")], ids=["eof", "reset", "damage"])


@FAULTS
def test_poison_raises_by_default(fault: Any) -> None:
    with pytest.raises(
        ResumeFailed, match=f"fragment {stored(2).number} was cut or broken 3 times"
    ) as caught:
        poisoned("fragments", fault)
    assert caught.value.last_token == stored(1).number
    assert repr(caught.value.__cause__) == repr(fault)


@FAULTS
def test_poison_can_be_delivered(fault: Any) -> None:
    found, events, service = poisoned("fragments", fault, poison="deliver")
    assert found == [(stored(1).number, True), (stored(2).number, False), (stored(3).number, True)]
    assert of_kind(events, Gap) == []
    assert service.asked[-1] == StartSelector.after_fragment(stored(2).number)


@FAULTS
def test_poison_can_be_skipped(fault: Any) -> None:
    found, events, _ = poisoned("fragments", fault, poison="skip")
    assert found == [(stored(1).number, True), (stored(3).number, True)]
    assert of_kind(events, Gap) == [
        Gap(
            GapReason.POISON,
            stored(1).number,
            stored(3).number,
            stored(1).server_ms,
            stored(3).server_ms,
        )
    ]


@FAULTS
@pytest.mark.parametrize("poison", ["deliver", "skip"])
def test_poison_and_frames(fault: Any, poison: str) -> None:
    found, _, _ = poisoned("frames", fault, poison=poison)
    assert found == [*stored(1).frames, *stored(2).frames[:2], *stored(3).frames]


def test_poison_ends_its_fragment_among_events() -> None:
    found, _, _ = poisoned("events", RESET, poison="deliver")
    assert found.count(("start", stored(2).number)) == found.count(("end", stored(2).number)) == 1


def test_damage_before_the_number_cannot_be_stepped_over() -> None:
    service = FakeService(
        [stored(1)], Reply(), *(Reply(media=b"\x1a\x45\xdf\xa3\x80\xff\xff") for _ in range(6))
    )
    with service.consumer(poison="skip") as consumer, pytest.raises(ResumeFailed, match="of unknown number"):
        list(consumer)


def test_a_fragment_that_gets_through_is_forgiven() -> None:
    fragments = [stored(1), stored(2)]
    replies = [Reply(cut=CUT, fault=RESET)] * 2
    service = FakeService(fragments, *replies, Reply(most=1), *replies)
    assert take(service, 2, max_refetches=2) == numbers(fragments)


# -- digests


def test_a_fragment_that_comes_again_as_another_is_told_and_not_repeated() -> None:
    first, other = stored(1), stored(1, fill=1)
    assert first.number == other.number and first.frames != other.frames
    service = FakeService([other], Reply(media=first.media, cut=len(first.media) - 190, fault=RESET))
    events: list[Any] = []
    with service.consumer(until=Until(fragments=1), on_event=events.append) as consumer:
        assert read(consumer, "frames") == [*first.frames[:2], other.frames[2]]
        assert consumer.stats.mismatches == 1
    (told,) = of_kind(events, DigestMismatch)
    assert (told.number, told.index) == (first.number, 0)
    assert told.expected[:2] == told.found[:2] and told.expected[2] != told.found[2]


def test_a_fragment_that_comes_again_shorter() -> None:
    first, other = stored(1, frames=5), stored(1, frames=2)
    service = FakeService([other], Reply(media=first.media, cut=len(first.media) - 190, fault=RESET))
    events: list[Any] = []
    with service.consumer(until=Until(fragments=1), on_event=events.append) as consumer:
        assert read(consumer, "frames") == list(first.frames[:4])
    (told,) = of_kind(events, DigestMismatch)
    assert (told.index, told.found) == (2, None)


# -- when it ends


def test_until() -> None:
    fragments = [stored(i) for i in range(1, 8)]
    size = len(fragments[0].media)
    for until, count in (
        (Until(fragments=3), 3),
        (Until(number=fragments[3].number), 4),
        (Until(number="5"), 0),
        (Until(frames=7), 3),
        (Until(size=2 * size), 2),
        (EPOCH + timedelta(seconds=4), 3),
        (Until(producer_time=EPOCH + timedelta(seconds=3.75)), 3),
    ):
        service = FakeService(fragments)
        with service.consumer(until=until) as consumer:
            assert [fragment.number for fragment in consumer] == numbers(fragments)[:count]
            assert consumer.end is SessionEnd.UNTIL
        assert not service.open_bodies
        with FakeService(fragments).consumer(until=until) as consumer:
            assert read(consumer, "frames") == payloads(fragments[:count])


def test_until_a_duration_ends_a_receive_and_a_wait() -> None:
    for reply in (Reply(fault=1e9), Reply(media=b"")):
        service = FakeService([stored(1)], reply)
        service.default = Reply(media=b"")
        with service.consumer(until=timedelta(seconds=100), stall_after=1e9) as consumer:
            list(consumer)
            assert consumer.end is SessionEnd.UNTIL
        assert service.clock.now == service.started + 100


def test_until_a_time_ends_where_nothing_more_comes() -> None:
    """The last fragment lies before it, and no other one ever tells that it has passed."""
    for default in (Reply(), Reply(fault=1e9)):
        service = FakeService([stored(1), stored(2)])
        service.default = default
        with service.consumer(until=EPOCH + timedelta(seconds=30)) as consumer:
            assert [fragment.number for fragment in consumer] == numbers(service.fragments)
            assert consumer.end is SessionEnd.UNTIL
        assert service.now() >= EPOCH + timedelta(seconds=30)


# -- errors


def test_denied_at_once_with_the_cause() -> None:
    error = NotAuthorizedException("no", code="NotAuthorizedException", status=401)
    service = FakeService([], Reply(error=error))
    with service.consumer() as consumer:
        iterator = iter(consumer)
        for _ in range(2):
            with pytest.raises(NotAuthorizedException) as caught:
                next(iterator)
            assert caught.value is error
        assert consumer.end is SessionEnd.FAILED
    assert len(service.asked) == 1 and service.clock.pauses == []


def test_a_key_that_is_refused() -> None:
    service = FakeService(
        [stored(1)], Reply(media=stored(1).media + error_document("KMS_KEY_DISABLED", 4501))
    )
    with service.consumer() as consumer:
        iterator = iter(consumer)
        assert next(iterator).number == stored(1).number
        with pytest.raises(kvsfast.InStreamError, match="4501"):
            next(iterator)


def test_errors_that_pass() -> None:
    fragments = [stored(1), stored(2)]
    busy = ServiceError("busy", code="ServiceUnavailable", status=503, retryable=True)
    errors = [busy, kvsfast.ConnectionLimitExceededException(), kvsfast.ConnectFailed("DNS")] * 20
    service = FakeService(fragments, Reply(most=1), *(Reply(error=error) for error in errors))
    events: list[Any] = []
    assert take(service, 2, on_event=events.append) == numbers(fragments)
    (again,) = of_kind(events, Reconnected)
    assert (again.calls, again.ending) == (61, Ending.CLEAN)
    assert service.forgotten == 20


def test_an_error_of_the_users_own_function_is_not_ours_to_ride_out() -> None:
    def complain(event: object) -> None:
        raise ZeroDivisionError

    service = FakeService([stored(1), stored(2)], Reply(most=1))
    with service.consumer(on_event=complain) as consumer:
        iterator = iter(consumer)
        next(iterator)
        with pytest.raises(ZeroDivisionError):
            next(iterator)
    assert not service.open_bodies


# -- falling behind


def test_to_the_newest() -> None:
    fragments = [stored(i, behind=90_000 if i < 5 else 1000) for i in range(1, 6)]
    service = FakeService(fragments)
    events: list[Any] = []
    assert take(service, 2, when_behind="newest", on_event=events.append) == [
        fragments[0].number,
        fragments[4].number,
    ]
    assert [(gap.reason, gap.after, gap.before) for gap in of_kind(events, Gap)] == [
        (GapReason.BEHIND, fragments[0].number, fragments[4].number)
    ]
    assert service.asked == [EARLIEST, NOW]


def test_the_newest_is_not_lost_when_its_call_fails() -> None:
    fragments = [stored(1, behind=90_000)]
    service = FakeService(fragments, Reply(), Reply(media=b""))
    service.on_call = lambda: fragments.append(stored(2)) if len(service.asked) == 3 else None
    service.fragments = fragments
    assert take(service, 2, when_behind="newest") == numbers([stored(1), stored(2)])
    assert service.asked[1] == NOW and service.asked[2].type is kvsfast.StartSelectorType.SERVER_TIMESTAMP


def test_key_frames_only_while_behind() -> None:
    behind = [1000, 40_000, 20_000, 14_000, 1000]
    fragments = [stored(i, behind=each) for i, each in enumerate(behind, 1)]
    with FakeService(fragments).consumer(
        until=Until(fragments=5), when_behind="key_frames", behind_after=30.0
    ) as consumer:
        assert [len(fragment.frames) for fragment in consumer] == [3, 1, 1, 3, 3]


# -- filters


def test_filters() -> None:
    fragments = [stored(i, frames=5) for i in (1, 2)]
    for options, wanted in (
        ({"tracks": [2]}, (1, 3)),
        ({"tracks": [1], "key_frames_only": True}, (0,)),
        ({"key_frames_only": True}, (0,)),
        ({"tracks": ["no such track"]}, ()),
    ):
        expected = [each.frames[index] for each in fragments for index in wanted]
        with FakeService(fragments).consumer(until=Until(fragments=2), **options) as consumer:
            assert read(consumer, "frames") == expected
        with FakeService(fragments).consumer(until=Until(fragments=2), **options) as consumer:
            assert [bytes(frame) for fragment in consumer for frame in fragment.frames] == expected


# -- counting


def test_stats() -> None:
    fragments = [stored(i, behind=1000 * i) for i in range(1, 5)]
    service = FakeService(fragments, Reply(most=2), Reply(cut=CUT, fault=RESET))
    seen: list[kvsfast.ConsumerStats] = []
    with service.consumer(until=Until(fragments=4), on_stats=seen.append, stats_every=5.0) as consumer:
        assert consumer.stats.time_to_first_frame is None
        for _ in consumer:
            service.clock.pass_by(2.0)
        stats = consumer.stats
    assert (stats.fragments, stats.frames, stats.calls, stats.reconnects) == (4, 12, 3, 2)
    assert stats.size == sum(len(each.media) for each in fragments)
    assert (stats.refetches, stats.duplicates, stats.gaps, stats.millis_behind_now) == (1, 0, 0, 4000)
    assert stats.time_to_first_frame == 0.0 and stats.last_number == fragments[3].number
    assert stats.fragments_per_second == pytest.approx(4 / stats.seconds)
    assert stats.bytes_per_second == pytest.approx(stats.size / stats.seconds)
    assert stats.last_error == "TransportError: reset"
    assert [each.fragments for each in seen] == [3]


def test_rates_fall_when_nothing_comes() -> None:
    service = FakeService([stored(1)])
    with service.consumer(until=Until(fragments=1)) as consumer:
        list(consumer)
        service.clock.pass_by(60)
        assert consumer.stats.bytes_per_second == 0


# -- use


def test_one_mode_only() -> None:
    with FakeService([stored(1)]).consumer() as consumer:
        next(iter(consumer))
        with pytest.raises(kvsfast.UsageError, match="read by fragments"):
            consumer.frames()
        assert iter(consumer) is iter(consumer)


def test_a_loop_that_is_left_can_be_gone_on_with() -> None:
    fragments = [stored(1), stored(2), stored(3)]
    with FakeService(fragments).consumer(until=Until(fragments=3)) as consumer:
        for fragment in consumer:
            assert isinstance(fragment, Fragment)
            break
        assert [each.number for each in consumer] == numbers(fragments[1:])


def test_after_close() -> None:
    service = FakeService([stored(1), stored(2)])
    consumer = service.consumer()
    iterator = iter(consumer)
    next(iterator)
    consumer.close()
    consumer.close()
    assert list(iterator) == []
    assert consumer.end is SessionEnd.CLOSED and not service.open_bodies
    with pytest.raises(kvsfast.UsageError, match="closed"):
        consumer.__enter__()
    assert "closed" in repr(consumer)
