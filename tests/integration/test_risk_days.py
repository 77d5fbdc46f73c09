"""The days of an account in risk's books: where one begins, what it has lost, and what is told of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from consumers.risk import risk
from engine.account_book import AccountBook
from engine.account_rows import account_book
from infra.publish import Origin
from infra.service import Service
from infra.settings import Settings
from infra.store import book, book_rules
from infra.store.database import Store
from schemas.account import AccountState, TradingMode
from schemas.orders import Commission, FillBusted, OrderStatus, OrderType, OrderUpdate, Side
from tests.builders import NOON, SEEN, a_fill, a_tick
from tests.integration.an_order_path import ACCOUNT, CLOCK, OrderPath, a_state, an_order_path, some_limits, until

D = Decimal
DAY = timedelta(days=1)
HERE = Origin("trading.fills.v1", 0, 0, b"", 0, SEEN)
HELD, OTHER = 77, 78


class Hand:
    """Risk, told and made to look by hand: nothing is waited for."""

    def __init__(self, path: OrderPath, service: Service, store: Store) -> None:
        self.path = path
        self._store = store
        self.risk = risk.Risk(service, store)
        self._number = 0

    async def fill(self, quantity: int, price: Any, **changes: Any) -> None:
        self._number += 1
        side = Side.BUY if quantity > 0 else Side.SELL
        fields = {"execution_id": f"e-{self._number}", "contract_id": HELD, "order_id": "", "side": side}
        fields |= {"last_quantity": D(abs(quantity)), "last_price": D(price)}
        await self.risk.folder.on_fill(a_fill(**(fields | changes)), HERE)

    async def limits(self, **changes: Any) -> None:
        await self.risk.stopper.on_limits(some_limits(**changes), HERE)

    async def state(self, mode: TradingMode, by: str = "ann") -> None:
        await self.risk.stopper.on_trading_state(a_state(mode, by), HERE)

    async def seen(self, price: float, **changes: Any) -> None:
        """A price comes, and risk looks."""
        self.risk.prices.see(a_tick(**({"contract_id": HELD, "price": price, "ingest_time": CLOCK.now()} | changes)))
        await self.risk.watch.look()

    async def told(self, **rates: str) -> None:
        """The broker tells of the account."""
        now = CLOCK.now()
        fields = {"currency": "USD", "net_liquidation": D(10**6), "buying_power": D(10**6), "cash": D(0)}
        worths = {each: D(rate) for each, rate in rates.items()}
        told = AccountState(account_id=ACCOUNT, exchange_rates=worths, event_time=now, ingest_time=now, **fields)
        await self.risk.folder.on_account(told, HERE)

    async def day(self) -> tuple[Any, Any]:
        """Of the account: what is valued, and what is not."""
        row = (await self.path.rows("SELECT realised_pnl_today, unvalued FROM books"))[0]
        return row.realised_pnl_today, {each: D(amount) for each, amount in row.unvalued.items()}

    async def elsewhere(self, order_id: str, contract_id: int) -> None:
        """An order that was placed by somebody else."""
        fields = {"account_id": ACCOUNT, "strategy_id": "external", "contract_id": contract_id, "symbol": "X"}
        fields |= {"side": Side.BUY, "quantity": D(100), "order_type": OrderType.LIMIT, "limit_price": D(80)}
        fields |= {"status": OrderStatus.NEW, "cumulative_quantity": D(0), "sequence": 1, "broker_order_id": 9}
        told = OrderUpdate(order_id=order_id, event_time=NOON, ingest_time=SEEN, **fields)
        await self.risk.folder.on_order_update(told, HERE)

    async def look(self) -> AccountBook:
        """The account as an order of the strategy finds it."""
        asked = book.Asked(ACCOUNT, strategies=["crossover"])
        async with self._store.looking() as connection:
            row = await book.read(connection, asked, CLOCK.now())
        return account_book(ACCOUNT, row, NOON, lambda exchange, moment: True)

    async def stopped(self) -> tuple[str, str]:
        row = (await self.path.rows("SELECT mode, by FROM trading_state WHERE scope LIKE 'account:%'"))[0]
        return row.mode, row.by

    async def morning(self) -> tuple[date, Any]:
        row = (await self.path.rows("SELECT trading_day, unrealised_before FROM book_accounts"))[0]
        return row.trading_day, row.unrealised_before


@contextlib.asynccontextmanager
async def by_hand(settings: Settings) -> AsyncIterator[Hand]:
    async with an_order_path(settings) as path:
        store = Store(settings, "risk")
        try:
            yield Hand(path, Service("risk", settings), store)
        finally:
            await store.close()


async def test_what_prices_lose_over_night_is_lost_on_the_new_day_and_no_day_begins_twice(
    stack_settings: Settings,
) -> None:
    async with by_hand(stack_settings) as hand:
        await hand.limits(daily_loss_max=D(15_000))
        await hand.state(TradingMode.ACTIVE)
        await hand.fill(1000, 100)
        await hand.fill(10, 50, contract_id=OTHER)
        await hand.seen(50.0, contract_id=OTHER)
        await hand.seen(101.0)
        assert await hand.morning() == (NOON.date(), 0)

        await hand.seen(80.0, event_time=NOON + DAY)
        assert await hand.morning() == (NOON.date() + DAY, 1000), "the gap is no part of what was before"
        assert await hand.stopped() == ("HALTED", "risk")

        # what is left has its newest price of yesterday
        await hand.fill(-1000, 80, event_time=NOON + DAY)
        await hand.seen(51.0, contract_id=OTHER, event_time=NOON + timedelta(hours=1))
        assert await hand.morning() == (NOON.date() + DAY, 1000)
        assert await hand.path.scalar("SELECT loss_mode FROM book_accounts") == "HALTED"

        # a simulator that begins again is another market
        later = {"event_time": NOON - 30 * DAY, "ingest_time": CLOCK.now() + timedelta(minutes=2)}
        await hand.seen(100.0, **later)
        assert (await hand.morning())[0] == NOON.date() + DAY, "not while another contract is still where it was"
        await hand.seen(52.0, contract_id=OTHER, **later)
        await hand.seen(52.0, contract_id=OTHER, **later)
        assert await hand.morning() == (NOON.date() - 30 * DAY, 20)
        assert await hand.path.scalar("SELECT trading_day FROM books") is None


async def test_a_loss_is_told_once_nobody_else_has_stopped_the_account_and_again_by_new_limits(
    stack_settings: Settings,
) -> None:
    async with by_hand(stack_settings) as hand:
        await hand.limits(daily_loss_max=D(900))
        await hand.state(TradingMode.ACTIVE)
        await hand.fill(100, 440)
        await hand.seen(440.0)
        await hand.state(TradingMode.HALTED, "executor")
        await hand.seen(433.0)
        assert await hand.stopped() == ("HALTED", "executor")
        await hand.state(TradingMode.ACTIVE, "executor")
        await hand.seen(433.0)
        assert await hand.stopped() == ("REDUCING", "risk"), "what could not be told while it was halted"

        await hand.seen(430.0)
        assert await hand.stopped() == ("HALTED", "risk")
        await hand.state(TradingMode.REDUCING)
        await hand.seen(430.0)
        assert await hand.stopped() == ("REDUCING", "ann"), "who unwinds by hand is let"

        await hand.limits(version=2, daily_loss_max=D(2000))
        await hand.state(TradingMode.ACTIVE)
        await hand.seen(430.0)
        assert await hand.stopped() == ("ACTIVE", "ann")
        await hand.seen(415.0)
        assert await hand.stopped() == ("HALTED", "risk"), "beyond the new limit"


async def test_what_is_realised_counts_in_the_base_currency_and_is_unknown_without_a_rate(
    stack_settings: Settings,
) -> None:
    async with by_hand(stack_settings) as hand:
        await hand.limits(daily_loss_max=D(20_000))
        await hand.state(TradingMode.ACTIVE)
        await hand.told(GBP="1.25")
        await hand.fill(100, 50_000, currency="JPY")
        await hand.fill(-100, 49_500, currency="JPY")
        assert await hand.day() == (0, {"JPY": D(-50_000)})
        charge = {"account_id": ACCOUNT, "event_time": NOON, "ingest_time": SEEN}
        paid = Commission(execution_id="e-2", amount=D(2), currency="USD", **charge)
        await hand.risk.folder.on_commission(paid, HERE)
        assert await hand.day() == (-2, {"JPY": D(-50_000)})
        assert await hand.stopped() == ("ACTIVE", "ann")
        look = await hand.look()
        assert (look.loss_unknown, look.loss_unknown_of_strategy) == ("JPY", {"crossover": "JPY"})

        await hand.told(GBP="1.25", JPY="0.0065")
        assert await hand.day() == (-327, {})
        look = await hand.look()
        assert (look.realised_today, look.realised_of_strategy) == (D(-327), {"crossover": D(-327)})
        await hand.fill(1000, 100, currency="GBP", contract_id=OTHER)
        await hand.fill(-1000, 81, currency="GBP", contract_id=OTHER)
        assert await hand.day() == (-24_077, {})
        assert await hand.stopped() == ("HALTED", "risk")
        await hand.risk.folder.on_fill(FillBusted(execution_id="e-4", revision=2, contract_id=OTHER, **charge), HERE)
        assert await hand.day() == (-327, {}), "a bust takes back what it was in its own currency"

        await hand.fill(-1000, 90, currency="GBP", contract_id=OTHER, strategy_id="other")
        look = await hand.look()
        assert look.positions == {}
        assert OTHER not in look.marks
        await hand.seen(95.0, contract_id=OTHER)
        assert OTHER in (await hand.look()).marks, "the strategies hold it, if the account does not"


async def test_an_order_placed_elsewhere_counts_in_the_currency_of_its_contract(stack_settings: Settings) -> None:
    async with by_hand(stack_settings) as hand:
        await hand.told(GBP="1.25")
        await hand.fill(1, 80, currency="GBP", contract_id=OTHER)
        await hand.elsewhere("external-1", OTHER)
        await hand.elsewhere("external-2", HELD)
        look = await hand.look()
        assert {each.order_id: each.currency for each in look.in_flight.values()} == {
            "external-1": "GBP",
            "external-2": "USD",
        }
        assert look.buying_power == 10**6 - 18_000
        await hand.fill(60, 80, currency="GBP", contract_id=OTHER, order_id="external-1")
        look = await hand.look()
        assert look.account.buying_power == 10**6 - 6_000
        assert look.buying_power == 10**6 - 18_000, "what has filled and what is in flight count once"


async def test_a_loss_at_the_moment_at_which_a_person_halts_waits_and_leaves_the_halt_as_it_is(
    stack_settings: Settings,
) -> None:
    blocked = (
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with by_hand(stack_settings) as hand:
        await hand.limits(daily_loss_max=D(900))
        await hand.state(TradingMode.ACTIVE)
        stopper, store = hand.risk.stopper, hand._store

        async def lose() -> None:
            async with store.transaction() as tx:
                await stopper.judge_day(tx, ACCOUNT, D(-700), TradingMode.ACTIVE)

        async with store.transaction() as tx:
            await book.lock_all(tx.connection, CLOCK.now())
            losing = asyncio.create_task(lose())
            await until(lambda: hand.path.scalar(blocked))
            await book_rules.save_state(tx.connection, a_state(TradingMode.HALTED))
        await losing

        assert await hand.stopped() == ("HALTED", "ann"), "what it looked at first was no longer so"
