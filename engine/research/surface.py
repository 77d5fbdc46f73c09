"""The landscape of a search: which parameters matter, how flat it is around a point, and heat maps of two of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from engine.columns import Floats
from engine.research.space import Axis

CELLS_MAX = 30
_POINTS_AT_ONCE = 256
_BINS = 10


@dataclass(frozen=True, eq=False)
class Surface:
    """Points of a space with a score each, higher being better. NaN where a point has none."""

    axes: tuple[Axis, ...]
    points: Sequence[Mapping[str, Any]]
    scores: Floats

    def plateau(self) -> tuple[Floats, Floats]:
        """Of each point: the mean score of its neighbours with itself, and a stability from 0 to 1.

        Neighbours differ by at most one step on every numeric axis (a tenth of a continuous one) and not at all on
        others. Stability is that mean's height over the lowest score of all, as a fraction of the point's own height:
        1 on a plateau, towards 0 on a lone peak. NaN for a point without neighbours, or a landscape without height.
        """
        places = np.array([[_place(axis, each[axis.name]) for axis in self.axes] for each in self.points])
        scored = np.flatnonzero(np.isfinite(self.scores))
        means = np.full(len(self.points), np.nan)
        if not len(scored):
            return means, means.copy()
        reach = np.array([1.0 if axis.ordered else 0.0 for axis in self.axes]) + 1e-9
        for first in range(0, len(scored), _POINTS_AT_ONCE):
            some = scored[first : first + _POINTS_AT_ONCE]
            near = np.all(np.abs(places[some][:, None, :] - places[scored][None, :, :]) <= reach, axis=2)
            count = near.sum(axis=1)
            means[some] = np.where(count > 1, near @ self.scores[scored] / count, np.nan)
        floor = float(self.scores[scored].min())
        height = self.scores - floor
        stability = np.divide(means - floor, height, out=np.full(len(means), np.nan), where=height > 0)
        return means, np.clip(stability, 0.0, 1.0)

    def importance(self) -> dict[str, float]:
        """Of each axis: which part of the scores' variance lies between its values (correlation ratio, Pearson 1905).

        Continuous axes are cut into ten parts. The parts of all axes do not add up to 1: what is missing is
        interaction, and with few points some of what is there is chance.
        """
        scored = np.flatnonzero(np.isfinite(self.scores))
        scores = self.scores[scored]
        total = float(np.sum((scores - scores.mean()) ** 2)) if len(scores) else 0.0
        return {axis.name: self._share(axis, scored, scores, total) for axis in self.axes}

    def _share(self, axis: Axis, scored: np.ndarray[Any, Any], scores: Floats, total: float) -> float:
        if total <= 0:
            return 0.0
        places = np.array([_place(axis, self.points[each][axis.name]) for each in scored])
        if axis.between is not None:
            places = np.floor(np.minimum(places, _BINS - 1e-9))
        _, group = np.unique(places, return_inverse=True)
        counts = np.bincount(group)
        means = np.bincount(group, weights=scores) / counts
        return float(np.sum(counts * (means - scores.mean()) ** 2)) / total

    def heat_maps(self) -> list[dict[str, Any]]:
        """For each pair of axes: their values (at most 30 a side, neighbours together) and the best score of a cell.

        `{"x", "y", "x_values", "y_values", "best"}`, `best[row of y][column of x]`, None where nothing was tried.
        """
        return [self._map(x, y) for x, y in combinations(self.axes, 2)]

    def _map(self, x: Axis, y: Axis) -> dict[str, Any]:
        columns, x_values = self._cells(x)
        rows, y_values = self._cells(y)
        best: list[list[float | None]] = [[None] * len(x_values) for _ in y_values]
        for row, column, score in zip(rows, columns, self.scores.tolist(), strict=True):
            known = best[row][column]
            if math.isfinite(score) and (known is None or score > known):
                best[row][column] = score
        return {"x": x.name, "y": y.name, "x_values": x_values, "y_values": y_values, "best": best}

    def _cells(self, axis: Axis) -> tuple[list[int], list[Any]]:
        """Of each point its cell, and what stands at the cells' edge: the first value in each."""
        if axis.between is not None:
            low, high = axis.between
            labels = [float(f"{low + (high - low) * number / _BINS:.6g}") for number in range(_BINS)]
            return [min(int(_place(axis, each[axis.name])), _BINS - 1) for each in self.points], labels
        together = math.ceil(len(axis.values) / CELLS_MAX)
        cells = [int(_place(axis, each[axis.name])) // together for each in self.points]
        return cells, list(axis.values[::together])


def _place(axis: Axis, value: Any) -> float:
    return axis.place(value)
