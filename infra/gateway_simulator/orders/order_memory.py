"""Orders and executions as the memory file holds them: every field by its name, instruments by their number."""

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.orders.book import Book
from infra.gateway_simulator.orders.order import Execution, Order, Terms

Told = dict[str, Any]
Kind = type[Order] | type[Terms] | type[Execution] | type[Book]

_BY_HAND = frozenset({"terms", "change", "order", "instrument", "watched", "live", "finished", "executions"})
_BOOK = ("withheld", "binds_manual", "lowest_manual", "turns")


def order_facts(order: Order) -> Told:
    facts = _facts(order, without=("terms", "change"))
    change = None if order.change is None else _terms_facts(order.change)
    return {**facts, "terms": _terms_facts(order.terms), "change": change}


def order_from(told: Told, instruments: Mapping[int, Instrument]) -> Order:
    change = told["change"]
    return Order(
        **_values(Order, told, without=("terms", "change")),
        terms=_terms(told["terms"], instruments),
        change=None if change is None else _terms(change, instruments),
    )


def execution_facts(execution: Execution) -> Told:
    return {**_facts(execution, without=("order",)), "order": execution.order.permanent_id}


def execution_from(told: Told, orders: Mapping[int, Order]) -> Execution:
    return Execution(**_values(Execution, told, without=("order",)), order=orders[told["order"]])


def book_facts(book: Book) -> Told:
    """What the book knows beside its orders."""
    return {**{name: getattr(book, name) for name in _BOOK if name != "withheld"}, "withheld": sorted(book.withheld)}


def recall_book(told: Told, book: Book) -> None:
    for name, value in _values(Book, told, only=_BOOK).items():
        setattr(book, name, value)


def _terms_facts(terms: Terms) -> Told:
    facts = _facts(terms, without=("instrument", "watched", "conditions"))
    conditions = [dataclasses.asdict(each) for each in terms.conditions]
    watched = [each.contract_id for each in terms.watched]
    return {**facts, "instrument": terms.instrument.contract_id, "watched": watched, "conditions": conditions}


def _terms(told: Told, instruments: Mapping[int, Instrument]) -> Terms:
    return Terms(
        **_values(Terms, told, without=("instrument", "watched")),
        instrument=instruments[told["instrument"]],
        watched=tuple(instruments[each] for each in told["watched"]),
    )


def _facts(what: Order | Terms | Execution, without: tuple[str, ...]) -> Told:
    return {each.name: getattr(what, each.name) for each in dataclasses.fields(what) if each.name not in without}


def _values(
    kind: Kind,
    told: Told,
    *,
    without: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
) -> Told:
    """Fields from what JSON made of them."""
    names = only or tuple(each.name for each in dataclasses.fields(kind) if each.name not in without)
    readers = _readers()[kind.__name__]
    return {name: readers[name].validate_python(told[name]) for name in names}


@cache
def _readers() -> dict[str, dict[str, TypeAdapter[Any]]]:
    """How each field is read back, by class and name."""
    wanted: tuple[Kind, ...] = (Order, Terms, Execution, Book)
    return {
        kind.__name__: {name: TypeAdapter(hint) for name, hint in get_type_hints(kind).items() if name not in _BY_HAND}
        for kind in wanted
    }
