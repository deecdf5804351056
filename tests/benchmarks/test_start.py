"""What the first frame needs."""

from __future__ import annotations

from benchmarks.start import first_calls, imports


def test_the_first_call_waits_for_one_answer_beyond_tcp_and_tls() -> None:
    for call in first_calls():
        assert call.control_calls == 0
        assert call.connections == 1
        assert call.round_trips - call.handshake == 1


def test_an_import_is_timed_in_a_new_process() -> None:
    (imported,) = imports(1, ["benchmarks.start"])
    assert imported.median_ms >= imported.best_ms > 0
