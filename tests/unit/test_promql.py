"""The little reader of PromQL that the dashboard's tests rest on."""

from tests.promql import labels_of, metrics_of

QUANTILE = (
    'histogram_quantile(0.99, sum by (service, le) (rate(a_bucket{job="x", service=~"$service"}[$__rate_interval])))'
)


def test_functions_groupings_strings_ranges_and_operators_are_no_metrics() -> None:
    assert metrics_of(QUANTILE) == {"a_bucket"}
    assert metrics_of('sum(a) > 0 unless on (t) label_replace(rate(b[5m]), "t", "$1", "h", "(.+)") or vector(0)') == {
        "a",
        "b",
    }
    assert metrics_of("time() - process_start_time_seconds{}") == {"process_start_time_seconds"}


def test_labels_are_those_of_matchers_and_groupings() -> None:
    assert labels_of(QUANTILE) == {"service", "le", "job"}
    assert labels_of('a{text="x=1, y!=2"}') == {"text"}
