"""The report: one page, offline, escaped, and small."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from engine import answer
from engine.circumstances import UNKNOWN_SOURCE
from engine.report import comparison, page
from engine.report.charts import Frame, Line, chart, histogram, thinned
from tests.bars import bars_of, columns_of, random_bars, real_daily
from tests.builders import SEEN
from tests.unit.test_answer import a_request, a_result

_VOID = {"meta", "br", "line"}


class Tags(HTMLParser):
    """Which tags open and close, and which attributes name something outside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.outside += [name for name, _ in attrs if name in ("src", "href", "action", "srcset", "data")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_nobody_for_anything() -> None:
    text = page(a_result())

    tags = Tags(text)
    assert tags.open == []
    assert tags.outside == []
    assert {"svg", "table", "style", "script"} <= tags.seen
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", text)
    assert "default-src 'none'" in text
    assert len(text.encode()) < 200_000


def test_the_page_tells_figures_trades_months_costs_and_hashes() -> None:
    done = a_result()

    text = page(done)

    for part in ("moving_average_crossover on AAPL", "141,956.67", "+41.96%", "−7.43%", "10 bps", done.result_hash):
        assert part in text
    assert text.count('<span class="tag long">') == 58
    assert "<th>2012</th>" in text
    assert text.index("Before you believe it") < text.index("Equity")


def test_synthetic_and_derived_prices_are_said_first() -> None:
    columns = replace(columns_of(random_bars(1, 300)), sources=("derived", "synthetic"))

    text = page(a_result(columns=columns))

    first = re.findall(r"<li>(.*?)</li>", text)
    assert first[0].startswith("The prices are synthetic")
    assert first[1].startswith("Prices inside the day are derived")


def test_silence_about_the_source_is_not_taken_for_real_prices() -> None:
    text = page(a_result().model_copy(update={"sources": (), "warnings": ()}))

    assert "Nobody said where the prices come from: a file says it in a column `source`, which is ib, real," in text


def test_that_nobody_said_where_the_prices_come_from_is_told_once() -> None:
    for said in (UNKNOWN_SOURCE, "Nobody said where the prices come from."):  # the second as it was told before
        text = page(a_result().model_copy(update={"sources": (), "warnings": (said,)}))

        assert text.count("Nobody said") == 1


def test_what_comes_from_outside_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>"
    done = a_result().model_copy(update={"warnings": (evil,), "backtest_id": evil, "sources": ('"><img src=x>',)})
    trip = {**done.round_trips[0], "symbol": evil, "direction": evil}
    request = done.request.model_copy(update={"strategy": evil, "symbols": (evil,), "parameters": {evil: evil}})

    text = page(done.model_copy(update={"round_trips": (trip,), "request": request}))

    assert evil not in text
    assert "<img" not in text
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_very_long_run_stays_below_a_megabyte() -> None:
    request = a_request(parameters={"fast": 1, "slow": 2, "short": True})
    columns = columns_of(random_bars(9, 9_000))

    done = a_result(request, columns)

    assert len(done.round_trips) > 2_000
    assert len(page(done).encode()) < 1_000_000


def test_a_run_of_two_bars_without_trades_has_a_page_too() -> None:
    text = page(a_result(columns=columns_of(bars_of([10.0, 10.0]))))

    assert "the strategy never traded" in text
    assert "NaN" not in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text)


def test_a_backtest_that_failed_has_no_page() -> None:
    with pytest.raises(ValueError, match="the backtest failed: no bars"):
        page(answer.failed(a_request(), "no bars", now=SEEN))


def test_thinning_keeps_the_ends_and_every_extreme() -> None:
    points = [(number, float(number % 97)) for number in range(10_000)]
    points[5_003] = (5_003, -500.0)

    kept = thinned(points, 100)

    assert len(kept) <= 202
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert (5_003, -500.0) in kept
    assert kept == sorted(kept)


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.0, 0.0], [-3.0, 1e6], [1e-7, 2e-7], [-2.0, -1.0]])
def test_a_chart_stays_inside_its_frame(values: list[float]) -> None:
    line = Line([(number * 10**6, value) for number, value in enumerate(values)], "equity")

    points = re.search(r'<polyline class="equity" points="([^"]*)"', chart(Frame("any", "{:.2f}"), [line]))

    assert points is not None
    for pair in points.group(1).split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= 1000
        assert 0 <= y <= 260


def test_real_prices_say_nothing_of_being_invented() -> None:
    assert not any("invented" in sentence for sentence in a_result(columns=real_daily("AAPL")).warnings)


def test_the_page_shows_the_benchmark_the_price_with_its_trades_and_how_sure_it_is() -> None:
    done = a_result()

    text = page(done)

    assert "bought and held" in text
    assert '<polyline class="benchmark"' in text
    assert '<polyline class="rolling"' in text
    assert {"sma(close, 10)", "sma(close, 30)"} <= set(re.findall(r"</i>([^<]+)</span>", text))
    assert text.count('<polygon class="buy"') + text.count('<polygon class="sell"') == len(done.fills)
    low, high = done.confidence["sharpe"]
    assert f"<small>{low:.2f} to {high:.2f}</small>".replace("-", "−") in text
    assert text.count("<rect class=") > 50
    assert "By symbol" not in text


def test_several_symbols_are_told_one_by_one_and_add_up() -> None:
    columns = columns_of(random_bars(1, 400), random_bars(2, 400, contract_id=8314))
    done = a_result(a_request(symbols=("AAPL", "IBM")), columns)

    assert "By symbol" in page(done)
    assert [row["symbol"] for row in done.by_symbol] == ["AAPL", "IBM"]
    assert sum(row["commission"] for row in done.by_symbol) == pytest.approx(done.metrics["commission_paid"])
    assert sum(row["pnl"] for row in done.by_symbol) == pytest.approx(done.equity[-1][1] - done.request.cash)
    assert sum(row["trades"] for row in done.by_symbol) == done.metrics["trades"]


def test_runs_are_compared_on_one_page_and_what_cannot_be_compared_is_refused() -> None:
    slow = a_request(backtest_id="slow", parameters={"fast": 20, "slow": 50})
    runs = [a_result(), a_result(slow)]

    text = comparison(runs)

    assert Tags(text).open == []
    assert all(f'<polyline class="run-{number}"' in text for number in (0, 1))
    assert "fast=20 slow=50" in text
    for done in runs:
        assert f"{done.metrics['final_equity']:,.2f}" in text
    with pytest.raises(ValueError, match="takes 2 to 8"):
        comparison(runs[:1])
    with pytest.raises(ValueError, match="no bars"):
        comparison([runs[0], answer.failed(a_request(), "no bars", now=SEEN)])


def test_a_histogram_counts_everything_once() -> None:
    values = [number / 100 for number in range(-300, 700)] + [1e6]

    text = histogram(Frame("any", "{:.2f}", 170), values)

    heights = [float(each) for each in re.findall(r'height="([\d.]+)"', text)]
    counts, _ = np.histogram(np.clip(values, values[5], sorted(values)[-6]), 41)
    assert heights == pytest.approx(counts / counts.max() * max(heights), abs=0.05 + 2 * max(heights) / counts.max())
    assert histogram(Frame("any", "{:.2f}"), [2.0, 2.0]).count("<rect") == 41


def test_small_values_get_the_decimals_that_tell_them_apart() -> None:
    line = Line([(0, 0.0), (10**6, -0.0011)], "drawdown")

    ticks = re.findall(r'text-anchor="end">([^<]*%)</text>', chart(Frame("any", "{:.0%}"), [line]))

    assert len(ticks) >= 4
    assert len(set(ticks)) == len(ticks)
    assert "−0.10%" in ticks
