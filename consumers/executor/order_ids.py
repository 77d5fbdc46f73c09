"""Our API client's order ids: reserved ahead of their use, never given twice, and held against the gateway's count."""

from collections import deque
from dataclasses import dataclass

from infra.store import orders as table
from infra.store.database import Store

_IDS_AT_A_TIME = 100


@dataclass(frozen=True)
class UsedIds:
    """What we know of the sequence before the gateway is asked for its next id."""

    client_id: int
    highest: int
    """The highest id that the broker has given a permanent id: it had an order under it for sure."""
    accepted: int
    """Up to here a person has accepted that the gateway counts less."""

    def trusts(self, next_id: int) -> bool:
        """Whether the gateway's next id tells which of ours never reached it."""
        return next_id > self.highest

    def trouble(self, next_id: int) -> str | None:
        """Why nobody may trade on; None when the sequence goes on, or its reset was accepted."""
        if self.trusts(next_id) or self.highest <= self.accepted:
            return None
        return (
            f"the gateway's order ids fell back: it offers {next_id} next, and client {self.client_id} has used "
            f"{self.highest}: the sequence was reset, or another gateway answers. Ours goes on above both. "
            "Look at the account's orders in TWS, then accept it with scizor live arm --accept-order-ids --reason ..."
        )


class OrderIds:
    """Ids for one API client; whatever the gateway says, they only grow."""

    def __init__(self, store: Store, client_id: int) -> None:
        self._store = store
        self.client_id = client_id
        self._free: deque[int] = deque()
        self._floor = 1
        """The lowest id that is free for sure, as far as gateway and books have told."""

    async def take(self) -> int:
        """An order id that was never sent. Ids are reserved in the database ahead of their use, many at a time."""
        while self._free and self._free[0] < self._floor:
            self._free.popleft()
        if not self._free:
            async with self._store.transaction() as tx:
                self._free += await table.reserve_ids(tx.connection, self.client_id, self._floor, _IDS_AT_A_TIME)
        return self._free.popleft()

    def give_back(self, order_id: int) -> None:
        """It was not sent after all."""
        self._free.appendleft(order_id)

    async def used(self) -> UsedIds:
        """Ask this before the gateway is asked: what is sent meanwhile is not taken for a fall."""
        async with self._store.reading() as connection:
            highest, accepted = await table.used_ids(connection, self.client_id)
        return UsedIds(self.client_id, highest, accepted)

    def heard(self, used: UsedIds, next_id: int) -> None:
        """The gateway has told its next id."""
        self._floor = max(self._floor, next_id, used.highest + 1)

    async def accept(self) -> None:
        """A person has looked: that the gateway counts less than what is used now is no trouble any more."""
        async with self._store.transaction() as tx:
            highest, _ = await table.used_ids(tx.connection, self.client_id)
            await table.accept_ids(tx.connection, self.client_id, highest)
