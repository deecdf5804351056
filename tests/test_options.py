"""Options: frozen, checked, and changed by copies."""

from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import pytest

import kvsfast
from kvsfast.errors import UsageError
from kvsfast.options import OptionChanges, Options


@pytest.mark.parametrize(
    "changes",
    [
        {"connect_timeout": 0}, {"connect_timeout": -1}, {"connect_timeout": None}, {"connect_timeout": "5"},
        {"idle_timeout": True}, {"idle_timeout": math.nan}, {"deadline": 0},
        {"wait": 1}, {"strict": None}, {"limits": {}}, {"retry": 3}, {"signer": object()}, {"transport": 1},
        {"endpoint_resolver": "https://x"}, {"before_sign": 1}, {"before_send": 1}, {"after_response": 1},
        {"media_endpoint_url": "x"}, {"media_endpoint_url": ""}, {"media_endpoint_url": 7},
        {"media_endpoint_url": "http://"}, {"media_endpoint_url": "http://[::1"}, {"media_endpoint_url": "http://x:99999"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be(changes: dict[str, Any]) -> None:
    (name,) = changes
    with pytest.raises(UsageError, match=f"^{name} is "):
        Options(**changes)
    with pytest.raises(UsageError, match=f"^{name} is "):
        Options().replace(**changes)


def test_what_can_be() -> None:
    options = Options().replace(
        idle_timeout=math.inf, deadline=3, media_endpoint_url="http://[::1]:8080/base"
    )
    assert (options.idle_timeout, options.deadline) == (math.inf, 3)
    assert options.replace() is options
    assert pickle.loads(pickle.dumps(Options())).connect_timeout == 60
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.deadline = 4  # type: ignore[misc]


def test_an_unknown_option() -> None:
    with pytest.raises(
        UsageError, match=r"there is no option idle_time; options are media_endpoint_url, connect"
    ):
        Options().replace(idle_time=1)  # type: ignore[call-arg]


def test_keywords_are_the_fields() -> None:
    fields = {field.name: field.type for field in dataclasses.fields(Options)}
    assert OptionChanges.__annotations__.keys() == fields.keys()
    hints = {name: hint.__forward_arg__ for name, hint in OptionChanges.__annotations__.items()}
    assert hints == fields
    assert kvsfast.Options is Options
