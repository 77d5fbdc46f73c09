"""What nobody here uses is not loaded because another package would like it."""

import gc
import sys
from pathlib import Path

import pytest

from engine.lean_imports import imported


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`greedy`, which loads `heavy` where it is installed."""
    (tmp_path / "heavy_package.py").write_text("")
    (tmp_path / "greedy_package.py").write_text(
        "try:\n    import heavy_package\nexcept ImportError:\n    heavy_package = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("heavy_package", "greedy_package"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("packages")
def test_a_package_is_imported_without_what_it_would_draw_in_which_can_be_had_later() -> None:
    assert imported("greedy_package", without=("heavy_package",)).heavy_package is None
    assert "heavy_package" not in sys.modules
    assert gc.isenabled()

    assert imported("heavy_package", without=()).__name__ == "heavy_package"


@pytest.mark.usefixtures("packages")
def test_what_is_loaded_already_stays() -> None:
    heavy = imported("heavy_package", without=())

    assert imported("greedy_package", without=("heavy_package",)).heavy_package is heavy
    assert sys.modules["heavy_package"] is heavy
