"""Small live bars made into larger ones, closed by event time alone."""

from dataclasses import dataclass, field

from engine.facts import Bar


@dataclass
class BarAggregator:
    """Bars of `size_us` microseconds from smaller ones, per contract, on multiples of the size since 1970 UTC.

    A bar closes when a small bar reaches its end, or when any event shows that time has passed it. Its start is that
    of its first small bar (the first bar of a session may be short), its end the multiple. A small bar that ends no
    later than what was taken or closed before is a repetition or comes too late: it is counted in `late` and left
    out. One that spans a multiple belongs to the bar in which it ends. What is already that large passes through.
    """

    size_us: int
    late: int = 0
    _open: dict[int, Bar] = field(default_factory=dict)
    _reached_us: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size_us <= 0:
            raise ValueError(f"the size of a bar is above zero, not {self.size_us} us")

    def on_bar(self, bar: Bar) -> list[Bar]:
        """The bars that close with `bar`, in the order of time: none, one, or two after a gap."""
        contract_id, end_us = bar.contract_id, self._end_of(bar)
        if bar.end_us <= self._reached_us.get(contract_id, bar.end_us - 1):
            self.late += 1
            return []
        self._reached_us[contract_id] = bar.end_us
        closed = []
        forming = self._open.get(contract_id)
        if forming is not None and forming.end_us < end_us:
            closed.append(self._close(contract_id))
            forming = None
        self._open[contract_id] = _first(bar, end_us) if forming is None else _merged(forming, bar)
        if bar.end_us >= end_us:
            closed.append(self._close(contract_id))
        return closed

    def forming(self, contract_id: int) -> Bar | None:
        """What the contract's bar that is not closed yet is so far; its end is that at which it will close."""
        return self._open.get(contract_id)

    def on_time(self, time_us: int) -> list[Bar]:
        """The bars that close because an event of any contract is as late as `time_us`; by end, then contract."""
        due = [bar for bar in self._open.values() if bar.end_us <= time_us]
        return [self._close(bar.contract_id) for bar in sorted(due, key=lambda bar: (bar.end_us, bar.contract_id))]

    def _end_of(self, bar: Bar) -> int:
        if bar.end_us - bar.start_us >= self.size_us:
            return bar.end_us
        return -(-bar.end_us // self.size_us) * self.size_us

    def _close(self, contract_id: int) -> Bar:
        bar = self._open.pop(contract_id)
        self._reached_us[contract_id] = max(bar.end_us, self._reached_us[contract_id])
        return bar


def _first(bar: Bar, end_us: int) -> Bar:
    return Bar(bar.contract_id, bar.start_us, end_us, bar.open, bar.high, bar.low, bar.close, bar.volume)


def _merged(forming: Bar, bar: Bar) -> Bar:
    return Bar(
        forming.contract_id,
        forming.start_us,
        forming.end_us,
        forming.open,
        max(forming.high, bar.high),
        min(forming.low, bar.low),
        bar.close,
        forming.volume + bar.volume,
    )
