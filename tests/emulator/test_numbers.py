"""Fragment numbers, against numbers of the real service."""

from __future__ import annotations

import pytest

from kvsfast.emulator.numbers import FragmentNumber
from kvsfast.errors import UsageError


def test_a_real_number_tells_its_server_time() -> None:
    # From a recorded response, whose SERVER_TIMESTAMP was 1511852109.126.
    number = "91343852333181432392682062607743920146159169392"
    parsed = FragmentNumber.parse(number)
    assert parsed.server_ms == 1511852109126
    assert str(parsed) == number


def test_numbers_are_47_digits_and_rise_with_the_sequence() -> None:
    numbers = [str(FragmentNumber.of(sequence, 1_700_000_000_000, 5)) for sequence in (1, 2, 999, 10**12)]
    assert {len(number) for number in numbers} == {47}
    assert numbers == sorted(numbers)
    for sequence, number in zip((1, 2, 999, 10**12), numbers, strict=True):
        assert FragmentNumber.parse(number)[:2] == (sequence, 1_700_000_000_000)


def test_the_noise_looks_random_and_is_reproducible() -> None:
    noise = [FragmentNumber.of(sequence, 0, 1).noise for sequence in range(1, 2000)]
    assert max(noise) < 1 << 28
    assert len(set(noise)) > 1990
    assert noise == [FragmentNumber.of(sequence, 0, 1).noise for sequence in range(1, 2000)]
    assert noise != [FragmentNumber.of(sequence, 0, 2).noise for sequence in range(1, 2000)]


@pytest.mark.parametrize("number", ["", "12", "x" * 47, "9" * 129, "-" + "9" * 46, str(1 << 157), "٣" * 47])
def test_other_numbers_are_refused(number: str) -> None:
    with pytest.raises(UsageError, match="no fragment number"):
        FragmentNumber.parse(number)
