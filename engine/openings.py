"""Which opens are awaited: of several contracts, those with orders, each by the next bar it has."""

from engine.columns import BarColumns, Integers

_NEVER_US = 2**63 - 1


class Openings:
    """By contract with orders that wait for an open: when that is, and in which row of the columns."""

    def __init__(self, columns: BarColumns) -> None:
        self.soonest_us = _NEVER_US
        """The least of them, or less."""
        self._columns = columns
        self._due: dict[int, tuple[int, int]] = {}
        self._starts: dict[int, Integers] = {}  # by contract: when its bars begin
        self._opens_us = columns.start_us.item

    def expect(self, contract_id: int, after_us: int, row: int) -> None:
        """With `row` in hand, await the contract's first open at or after a moment, or one that is awaited before that;
        where there is none, orders wait for ever."""
        columns = self._columns
        if columns.contract_id.item(row) == contract_id and columns.end_us.item(row) == after_us:
            self.expect_following(contract_id, row)
            return
        own = columns.rows.get(contract_id)
        if own is None:
            return
        starts = self._starts.get(contract_id)
        if starts is None:
            starts = self._starts[contract_id] = columns.start_us[own]
        place = int(starts.searchsorted(after_us))
        if place < len(own):
            opens = (int(starts[place]), int(own[place]))
            noted = self._due.get(contract_id, opens)  # of a bar gone by, when nothing worked as it came
            self._due[contract_id] = expected = min(opens, noted) if noted[1] > row else opens
            self.soonest_us = min(self.soonest_us, expected[0])

    def expect_following(self, contract_id: int, row: int) -> None:
        """The same of orders given at the end of `row`, a bar of the contract."""
        following = self._columns.following.item(row)
        if following >= 0:
            opens_us = self._opens_us(following)
            self._due[contract_id] = (opens_us, following)
            if opens_us < self.soonest_us:
                self.soonest_us = opens_us

    def take(self, end_us: int) -> list[tuple[int, int, int]]:
        """(when, contract, row) of the opens before a moment, in their order: they are awaited no more."""
        due = [(opens_us, contract_id, row) for contract_id, (opens_us, row) in self._due.items() if opens_us < end_us]
        for _, contract_id, _ in due:
            del self._due[contract_id]
        self.soonest_us = min((opens_us for opens_us, _ in self._due.values()), default=_NEVER_US)
        return sorted(due)
