"""What a live strategy makes of the market, and of what becomes of its orders."""

from collections.abc import Iterable

from msgspec import structs

from engine.aggregation import BarAggregator
from engine.facts import Bar as BarFact
from engine.facts import bar_of
from engine.live import machine
from engine.live.desk import FloodError
from engine.live.hosts import Hosts, Stage
from engine.live.outputs import Output, price_of
from engine.live.own_orders import OwnOrders
from engine.live.timetable import Closes, Timetable
from engine.live.trading import News, Trading
from engine.strategy import StrategySignal
from schemas.market import Bar, Tick
from schemas.moments import to_microseconds
from schemas.orders import Fill, FillBusted, FillCorrected, OrderUpdate, RiskDecision
from schemas.place import At
from schemas.strategy import Deploy, RunningState
from schemas.validation import Contract

Execution = Fill | FillCorrected | FillBusted

_MICROSECONDS = 1_000_000
_MOMENTS_MAX = 1000


class Dealings:
    """One deployment's trading: its code is asked, its wishes are carried out, and it hears what became of them.

    A contract's small bars are made into larger ones by that contract's own bars alone: what a strategy sees of one
    contract does not depend on how its partition and those of others were interleaved.
    """

    def __init__(
        self, deployment: Deploy, contracts: Iterable[Contract], before: OwnOrders | None, hosts: Hosts, closes: Closes
    ) -> None:
        """`before`: the orders of an earlier deployment under the same id; what that one holds, this one holds."""
        self.deployment = deployment
        self.contracts = {contract.contract_id: contract for contract in contracts}
        self.state = RunningState.DEPLOYED
        self.signals = 0
        self._stage = Stage(hosts, {key: each.symbol for key, each in self.contracts.items()})
        self._real = OwnOrders()
        if before is not None:
            self._real.inherit(before)
        self.trading = Trading(deployment, self.contracts, self._real, closes)
        self._aggregator = BarAggregator(deployment.bar_size_seconds * _MICROSECONDS)
        self._timetable = Timetable(self.contracts, closes)

    @property
    def ended(self) -> bool:
        return machine.ended(self.state)

    @property
    def orders(self) -> OwnOrders:
        """What it did, or pretended to do."""
        return self.trading.orders

    def close(self) -> None:
        """Let go of whatever runs its code."""
        self._stage.close()

    # market

    def _on_bar(self, bar: Bar, at: At) -> list[Output]:
        trading, fact = self.trading, bar_of(bar)
        outputs = self._on_shadow_news(trading.meet(fact), at)
        closed = self._aggregator.on_bar(fact)
        if bar.late:  # it tells what was, not what can be traded now
            self._stage.host.warm_up(closed)
            for each in closed:
                self._timetable.passed(each)
            return outputs
        trading.targets.prices[bar.contract_id] = price_of(bar)
        if self.ended:
            return outputs
        if closed:
            trading.worth.sample(trading.pnl)
        if self.state is RunningState.STOPPING:
            return outputs + self._pursue(bar.contract_id, at, 0)  # selling waits for no larger bar
        if closed:
            outputs += self._tell_held_back(bar, at)
        wishes = self._live_through(closed, fact)
        outputs += self._outputs(wishes, at)
        if closed and all(wish.contract_id != bar.contract_id for wish in wishes):
            outputs += self._pursue(bar.contract_id, at, len(wishes))
        return outputs

    def _live_through(self, closed: Iterable[BarFact], small: BarFact) -> list[StrategySignal]:
        """The bars that closed, and all that lies before and between them and as far as the small bar shows."""
        wishes: list[StrategySignal] = []
        for each in closed:
            wishes += self._between(each, each.end_us)
            self._show_account(each.contract_id)
            wishes += self._stage.host.on_bar(each)
            self._timetable.passed(each)
        forming = self._aggregator.forming(small.contract_id)
        return wishes if forming is None else wishes + self._between(forming, small.end_us)

    def _between(self, bar: BarFact, until_us: int) -> list[StrategySignal]:
        host, wishes = self._stage.host, list[StrategySignal]()
        for _ in range(_MOMENTS_MAX):
            self._timetable.ask(host.drain_alarms())
            moment = self._timetable.next(bar, until_us)
            if moment is None:
                return wishes
            self._show_account(bar.contract_id)
            wishes += host.on_moment(moment)
        raise FloodError(f"more than {_MOMENTS_MAX} timers rang at once")

    def _on_tick(self, tick: Tick, at: At) -> list[Output]:
        self.trading.targets.prices[tick.contract_id] = price_of(tick)
        if self.state is RunningState.STOPPING:
            return self._pursue(tick.contract_id, at, 0)
        outputs = self._tell_held_back(tick, at)
        self._show_account(tick.contract_id)
        return outputs + self._outputs(self._stage.host.on_tick(tick), at)

    def _show_account(self, contract_id: int) -> None:
        targets = self.trading.targets
        price = targets.prices.get(contract_id)
        self._stage.host.show(contract_id, price.value if price else 0.0, targets.full, float(self.orders.spent))

    def _outputs(self, wishes: list[StrategySignal], at: At) -> list[Output]:
        outputs: list[Output] = []
        for number, wish in enumerate(wishes):
            told = self.trading.named(wish, at, number)
            if told is not None:
                self.signals += 1
                outputs += [told, *self._pursue(wish.contract_id, at, number)]
        return outputs + self._asked(at)

    def _pursue(self, contract_id: int, at: At, number: int) -> list[Output]:
        if self.state not in (RunningState.RUNNING, RunningState.STOPPING):
            return []
        outputs, news = self.trading.pursue(contract_id, at, number)
        return outputs + self._on_shadow_news(news, at)

    def _liquidate(self, at: At) -> list[Output]:
        """Cancel what works, and sell at once what nothing works on."""
        cancels, news = self.trading.liquidate(at)
        sales = [each for number, key in enumerate(self.contracts) for each in self._pursue(key, at, number)]
        return [*cancels, *sales, *self._on_shadow_news(news, at)]

    def _sell_cleared(self, at: At) -> list[Output]:
        return [each for key in self.trading.cleared() for each in self._pursue(key, at, key)]

    def _asked(self, at: At) -> list[Output]:
        """The orders that the strategy asked for by itself; one that does not run is denied them."""
        self._timetable.ask(self._stage.host.drain_alarms())
        asked = self._stage.host.drain()
        if self.state is not RunningState.RUNNING:
            self.trading.hold_back(asked, f"the strategy is {self.state}")
            return []
        if not asked:
            return []
        outputs, news = self.trading.carry(asked, at)
        return outputs + self._on_shadow_news(news, at)

    def _tell_held_back(self, event: Bar | Tick, at: At) -> list[Output]:
        """Not at once but now: with who asks again whenever it is denied, that would never end."""
        held_back, self.trading.held_back = self.trading.held_back, []
        outputs: list[Output] = []
        for news in held_back:
            self._show_account(news.contract_id)
            self._stage.host.on_order(structs.replace(news, time_us=to_microseconds(event.event_time)))
            outputs += self._asked(at)
        return outputs

    # what became of its orders

    def _on_shadow_news(self, news: Iterable[News], at: At) -> list[Output]:
        outputs: list[Output] = []
        for each in news:
            if isinstance(each, Fill):
                outputs += self._book_fill(each, at)
            else:
                self.orders.on_update(each)
                outputs += self._hear(each, at)
        return outputs

    def _on_fill(self, fill: Execution, at: At) -> list[Output]:
        if self.trading.pretends:  # of orders that it sent before it was a shadow
            self._real.on_fill(fill)
            return []
        return self._book_fill(fill, at)

    def _book_fill(self, fill: Execution, at: At) -> list[Output]:
        adds = self.orders.on_fill(fill)
        if adds is None:
            return []
        outputs: list[Output] = []
        if adds and isinstance(fill, Fill) and not self.ended:
            self._show_account(fill.contract_id)
            self._stage.host.on_fill(fill)
            outputs = self._asked(at)
        else:
            self._show_positions()
        self._stop_when_flat()
        return outputs + self._sell_cleared(at)

    def _hear(self, event: RiskDecision | OrderUpdate, at: At) -> list[Output]:
        news = self.trading.book.news(event)
        self._stop_when_flat()
        if self.ended:
            return []
        outputs: list[Output] = []
        if news is not None:
            self._show_account(news.contract_id)
            self._stage.host.on_order(news)
            outputs = self._asked(at)
        return outputs + self._sell_cleared(at)

    def _stop_when_flat(self) -> None:
        """What was to be liquidated is."""
        if self.state is RunningState.STOPPING and self.orders.flat and not self.orders.in_flight:
            self.state = RunningState.STOPPED
            self.close()

    def _show_positions(self) -> None:
        """Tell the host what is held: it is new, or an execution was replaced."""
        if self._stage.is_set and not self.ended:
            for contract_id in self.contracts:
                holding = self.orders.holding(contract_id)
                self._stage.host.hold(contract_id, holding.quantity, holding.average_price)
