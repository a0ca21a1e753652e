from prometheus_client.parser import text_string_to_metric_families

from gateway.observability.metrics import (
    BUCKETS_S,
    FETCHES,
    IN_FLIGHT,
    METRICS,
    REQUEST_SECONDS,
    REQUESTS,
    Measures,
)


def scraped(measures):
    text = measures.exposition().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_add_up_by_label():
    measures = Measures()
    measures.add(REQUESTS, ("m", "200"))
    measures.add(REQUESTS, ("m", "200"), 4)
    measures.add(REQUESTS, ("", "404"))
    samples = scraped(measures)
    assert samples["unskew_requests_total", (("model", "m"), ("status", "200"))] == 5
    assert samples["unskew_requests_total", (("model", ""), ("status", "404"))] == 1


def test_durations_fall_into_the_first_bucket_that_holds_them():
    measures = Measures()
    histogram = measures.duration(REQUEST_SECONDS, ("m",))
    for duration_s in (0.00005, BUCKETS_S[0], 0.3, 99.0):
        histogram.observe(duration_s)
    assert measures.duration(REQUEST_SECONDS, ("m",)) is histogram
    samples = scraped(measures)

    def up_to(bound):
        return samples["unskew_request_seconds_bucket", (("le", bound), ("model", "m"))]

    assert [up_to("0.0001"), up_to("0.25"), up_to("0.5"), up_to("2.5"), up_to("+Inf")] == [2, 2, 3, 3, 4]
    assert samples["unskew_request_seconds_count", (("model", "m"),)] == 4
    assert samples["unskew_request_seconds_sum", (("model", "m"),)] == sum((0.00005, BUCKETS_S[0], 0.3, 99.0))


def test_figures_kept_elsewhere_are_asked_for_at_each_scrape():
    measures, figures = Measures(), [3.0]
    measures.watch(lambda: [(IN_FLIGHT, (), figures[0])])
    assert scraped(measures)["unskew_requests_in_flight", ()] == 3
    figures[0] = 5.0
    assert scraped(measures)["unskew_requests_in_flight", ()] == 5


def test_every_metric_is_shown_before_it_has_a_figure():
    text = Measures().exposition().decode()
    assert all(f"# HELP {metric.name} {metric.meaning}" in text for metric in METRICS)


def test_names_follow_prometheus_habits():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("unskew_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") == (metric.kind == "histogram")
    assert FETCHES in METRICS
