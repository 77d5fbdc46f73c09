"""However bars were read, one per natural key comes out, in the order of time."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from infra.bar_replay import _in_order
from infra.columns import BAR_SCHEMA, newest

CONTRACTS, SIZES, STARTS, REVISIONS, KINDS = (1, 2), (5, 60), range(5), (0, 0, 0, 1), ("trades", "trades", "bid")
_bars = st.lists(
    st.tuples(*(st.sampled_from(some) for some in (CONTRACTS, SIZES, STARTS, REVISIONS, KINDS))),
    max_size=40,
)


def a_frame(rows: list[tuple[int, int, int, int, str]], *, volume: bool) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "contract_id": contract,
                "bar_size_seconds": size,
                "start_us": start * size * 1_000_000,
                "end_us": (start + 1) * size * 1_000_000,
                "ingest_us": 0,
                **dict.fromkeys(("open", "high", "low", "close"), 1.0),
                "volume": float(revision if volume else 0),
                "source": "derived",
                "price_kind": kind,
                "basis": "raw",
                "revision": revision,
                "late": False,
            }
            for contract, size, start, revision, kind in rows
        ],
        schema=BAR_SCHEMA,
    )


@given(rows=_bars, volume=st.booleans())
def test_the_quick_order_is_the_plain_one(rows: list[tuple[int, int, int, int, str]], volume: bool) -> None:
    frame = a_frame(rows, volume=volume)
    plain = newest(frame).sort("end_us", "contract_id", "bar_size_seconds", "price_kind", maintain_order=True)
    assert _in_order(frame).equals(plain)
