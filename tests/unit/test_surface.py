"""The landscape of a search, on landscapes whose shape is known."""

import numpy as np
import pytest

from engine.research.space import Axis, Space
from engine.research.surface import Surface

FAST, SLOW = Axis.parse("fast=0:9"), Axis.parse("slow=0:9")
POINTS = list(Space([FAST, SLOW]).grid())


def test_a_plateau_is_stable_and_a_lone_peak_is_not() -> None:
    scores = np.zeros(100)
    for number, each in enumerate(POINTS):
        if 5 <= each["fast"] <= 7 and 5 <= each["slow"] <= 7:
            scores[number] = 1.0
    scores[POINTS.index({"fast": 1, "slow": 1})] = 1.2

    means, stability = Surface((FAST, SLOW), POINTS, scores).plateau()

    middle, peak = POINTS.index({"fast": 6, "slow": 6}), POINTS.index({"fast": 1, "slow": 1})
    assert (means[middle], stability[middle]) == (1.0, 1.0)
    assert stability[peak] == pytest.approx(1 / 9)
    assert int(np.nanargmax(means)) == middle


def test_words_and_truths_have_no_neighbours_among_themselves() -> None:
    short = Axis.parse("short=true,false")
    points = [{"short": each} for each in (True, False)]

    means, _ = Surface((short,), points, np.array([1.0, 0.0])).plateau()

    assert np.isnan(means).all()


def test_importance_is_the_part_of_the_variance_that_a_parameter_explains() -> None:
    scores = np.array([each["fast"] * 2.0 for each in POINTS])
    found = Surface((FAST, SLOW), POINTS, scores).importance()
    assert found == pytest.approx({"fast": 1.0, "slow": 0.0})

    both = np.array([each["fast"] + each["slow"] for each in POINTS], dtype=float)
    assert Surface((FAST, SLOW), POINTS, both).importance() == pytest.approx({"fast": 0.5, "slow": 0.5})


def test_a_heat_map_shows_the_best_of_each_cell_and_nothing_where_nothing_was_tried() -> None:
    other = Axis.parse("other=1,2")
    points = [
        {"fast": 0, "slow": 1, "other": 1},
        {"fast": 0, "slow": 1, "other": 2},
        {"fast": 2, "slow": 0, "other": 1},
    ]

    first = Surface((FAST, SLOW, other), points, np.array([3.0, 5.0, np.nan])).heat_maps()[0]

    assert (first["x"], first["y"]) == ("fast", "slow")
    assert first["best"][1][0] == 5.0
    assert first["best"][0][2] is None


def test_a_wide_axis_is_gathered_into_at_most_thirty_cells() -> None:
    wide, entry = Axis.parse("wide=1:500"), Axis.parse("entry=0.5:1.0")
    points = [{"wide": 500, "entry": 1.0}, {"wide": 1, "entry": 0.5}]

    (found,) = Surface((wide, entry), points, np.array([1.0, 2.0])).heat_maps()

    assert len(found["x_values"]) <= 30
    assert found["best"][9][-1] == 1.0
    assert found["best"][0][0] == 2.0


def test_a_search_without_any_score_has_no_shape_and_does_not_fail() -> None:
    surface = Surface((FAST,), [{"fast": 1}, {"fast": 2}], np.array([np.nan, np.nan]))

    assert np.isnan(surface.plateau()[0]).all()
    assert surface.importance() == {"fast": 0.0}
