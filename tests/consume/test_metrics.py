"""Stats as metrics, by the real libraries."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kvsfast import Consumer, TransportError, Until
from kvsfast.consume.metrics import METRICS, PrometheusCollector, observe_with_opentelemetry
from tests.consume.fake import FakeService, Reply, stored

COUNTED = {
    "fragments": 3, "frames": 9, "calls": 2, "reconnects": 1, "duplicates": 0, "refetches": 1, "rewound": 0,
    "mismatches": 0, "gaps": 0, "resets": 0,
}  # fmt: skip


@pytest.fixture
def consumer() -> Consumer:
    fragments = [stored(i, behind=1000 * i) for i in (1, 2, 3)]
    cut = len(fragments[0].media) - 190
    with FakeService(fragments, Reply(cut=cut, fault=TransportError("reset"))).consumer(
        until=Until(fragments=3)
    ) as consumer:
        list(consumer)
    return consumer


def test_prometheus(consumer: Consumer) -> None:
    registry = CollectorRegistry()
    consumers = [consumer]
    registry.register(PrometheusCollector(consumers))
    text = generate_latest(registry).decode()
    values = {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert len(values) == len(METRICS)
    for name, value in COUNTED.items():
        assert values[f"kvsfast_{name}_total"] == ({"stream": "door"}, value)
    assert values["kvsfast_media_bytes_total"][1] == consumer.stats.size
    assert values["kvsfast_behind_now_milliseconds"][1] == 3000
    assert values["kvsfast_time_to_first_frame_seconds"][1] == consumer.stats.time_to_first_frame
    consumers.clear()
    assert "door" not in generate_latest(registry).decode()
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(PrometheusCollector(consumers))


def test_opentelemetry(consumer: Consumer) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe_with_opentelemetry([consumer], meter_provider=provider)
    data = reader.get_metrics_data()
    assert data is not None
    metrics = [
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    points: dict[str, Any] = {metric.name: next(iter(metric.data.data_points)) for metric in metrics}
    assert len(points) == len(METRICS)
    for name, value in COUNTED.items():
        point = points[f"kvsfast.{name}"]
        assert (point.value, dict(point.attributes or {})) == (value, {"stream": "door"})
    assert points["kvsfast.behind_now"].value == 3000
    assert {metric.name: metric.unit for metric in metrics}["kvsfast.media"] == "By"
    provider.shutdown()


def test_what_is_not_known_yet_is_left_out() -> None:
    collector = PrometheusCollector([FakeService().consumer()])
    families = {family.name: family.samples for family in collector.collect()}
    assert families["kvsfast_behind_now_milliseconds"] == []
    assert families["kvsfast_time_to_first_frame_seconds"] == []
    assert [sample.value for sample in families["kvsfast_fragments"]] == [0]
