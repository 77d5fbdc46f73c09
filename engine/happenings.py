"""What happens in a run beside bars, known before it begins: sessions, nights, corporate actions, gaps."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from engine.corporate_actions import apply_action
from engine.facts import DataGap, Session
from engine.strategy import BaseStrategy
from schemas.moments import to_datetime

if TYPE_CHECKING:
    from engine.replay import Replay

Happening = tuple[int, Callable[[], None]]


def happenings(replay: "Replay") -> Iterator[Happening]:
    """(before which row, what), in the order in which what shares a row happens: the day before ends, the night is
    paid for, the new day's actions hold, it opens."""
    listens = any(_hears(replay, name) for name in ("on_session_open", "on_session_close"))
    options = replay.options
    nights = bool(options.financing_percent or options.borrow_percent)
    actions = _actions(replay)
    before: Session | None = None
    sessions = replay.market.sessions_of(replay.columns) if listens or nights else []
    for row, session in sessions:
        if before is not None and listens:
            yield row, partial(_close, replay, before)
        if nights and replay.session is not None:
            yield row, partial(_night, replay, replay.session, session)
        while actions and actions[0][0] <= row:
            yield actions.pop(0)
        if listens:
            yield row, partial(_open, replay, session)
        before = replay.session = session
    yield from actions
    if listens and before is not None:
        yield len(replay.columns), partial(_close, replay, before)


def _hears(replay: "Replay", name: str) -> bool:
    return getattr(type(replay.strategy), name) is not getattr(BaseStrategy, name)


def _open(replay: "Replay", session: Session) -> None:
    replay.at(session.open_us, lambda: replay.strategy.on_session_open(session))


def _close(replay: "Replay", session: Session) -> None:
    replay.at(session.close_us, lambda: replay.strategy.on_session_close(session))


def _night(replay: "Replay", before: Session, after: Session) -> None:
    """Calendar days between the two opens: a weekend costs three."""
    days = (to_datetime(after.open_us).date() - to_datetime(before.open_us).date()).days
    for flow in replay.account.nightly(days, after.open_us):
        replay.pay(flow)


def _actions(replay: "Replay") -> list[Happening]:
    """Each action before the first row at whose turn a bar of its contract may open after it."""
    columns, found = replay.columns, []
    for action in sorted(replay.market.actions, key=lambda each: each.time_us):
        own = columns.rows.get(action.contract_id)
        if own is None or action in replay.acted:
            continue
        place = int(np.searchsorted(columns.start_us[own], action.time_us))
        if place < len(own):
            replay.acted.append(action)
            opens_us = int(columns.start_us[own[place]])
            row = int(np.searchsorted(columns.end_us, opens_us, side="right"))
            found.append((row, partial(apply_action, replay, int(own[place]), action)))
    return sorted(found, key=lambda each: each[0])


def gaps(replay: "Replay") -> Iterator[Happening]:
    """What is missing before which row: told once all else that lies before it was."""
    if not _hears(replay, "on_data_gap"):
        return
    columns, numbers = replay.columns, replay.market.session_numbers(replay.columns)
    for contract_id, own in columns.rows.items():
        missing = (columns.start_us[own[1:]] > columns.end_us[own[:-1]]) & (numbers[own[1:]] == numbers[own[:-1]])
        for place in np.flatnonzero(missing).tolist():
            gap = DataGap(contract_id, int(columns.end_us[own[place]]), int(columns.start_us[own[place + 1]]))
            yield int(own[place + 1]), partial(_tell_gap, replay, gap)


def _tell_gap(replay: "Replay", gap: DataGap) -> None:
    replay.at(gap.end_us, lambda: replay.strategy.on_data_gap(gap))
