"""Kinds of columns that the tables share, and the one MetaData that holds all tables."""

from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Float, MetaData, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, **{"nullable": False, **options})


def moment(name: str, **options: Any) -> Column[Any]:
    """A timestamp with time zone."""
    return Column(name, DateTime(timezone=True), **{"nullable": False, **options})


def double(name: str, **options: Any) -> Column[float]:
    """A price or size of market data."""
    return Column(name, Float(precision=53), **{"nullable": False, **options})


def exact(name: str, **options: Any) -> Column[Any]:
    """Money, an order's price or an amount: decimal, 16 digits before the point and 8 after."""
    return Column(name, Numeric(24, 8), **{"nullable": False, **options})


def whole(name: str, **options: Any) -> Column[int]:
    return Column(name, BigInteger, **{"nullable": False, **options})


def json(name: str, **options: Any) -> Column[Any]:
    return Column(name, JSONB, **{"nullable": False, **options})


def plain(amount: Decimal) -> Decimal:
    """A stored amount without the zeros that its column pads it with: 100, not 100.00000000."""
    whole_part = amount.to_integral_value()
    return whole_part if whole_part == amount else amount.normalize()
