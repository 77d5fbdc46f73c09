"""One connection to TWS or IB Gateway that comes back by itself: its state, its heartbeat, its questions and answers.

A missing gateway is a state, not a crash. What was known of the account dies with the socket: after a reconnect
listeners are told to resynchronise, and until then everything is unknown.
"""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import structlog

from infra.clock import Clock, Entropy, SystemClock, SystemEntropy
from infra.gateway.errors import (
    AccountUnknownError,
    GatewayRequestError,
    GatewayUnavailableError,
    LiveAccountRefusedError,
)
from infra.gateway.library import Library, MalformedMessageError, Message, load
from infra.gateway.pacing import Governor
from infra.gateway.questions import Question, Questions
from infra.gateway.reports import GatewayState, GatewayStatus
from infra.gateway.session import Session
from infra.gateway.windows import Limits, Pacing, Priority
from infra.settings import Settings

REQUEST_ID_FIRST = 1_500_000_000
"""Request ids start here: far above any order id, with which they share one number space at the gateway."""
_REQUEST_ID_LAST = 2_147_000_000


_TOO_FAST = 100
_LOST, _RESTORED_EMPTY, _RESTORED, _SERVER_BROKEN = 1100, 1101, 1102, 2110
_FARM_BROKEN = frozenset({2103, 2105, 2157})
_FARM_WELL = frozenset({2104, 2106, 2107, 2108, 2158})
_ADVISORY = frozenset({165, 202, 399, 404, 492, 10090, 10089, 10167})

MessageHandler = Callable[..., None]
StateListener = Callable[[GatewayState, bool], None]
ErrorHandler = Callable[[int, int, str], None]


class ClientSlot(IntEnum):
    """Which of our client ids a process uses, counted from SCIZOR_IB_CLIENT_ID."""

    EXECUTOR = 0
    MARKET_DATA = 1
    DATA_FARMER = 2
    KILL_SWITCH = 3


MESSAGES_A_SECOND = {
    ClientSlot.EXECUTOR: 12,
    ClientSlot.MARKET_DATA: 15,
    ClientSlot.DATA_FARMER: 20,
    ClientSlot.KILL_SWITCH: 3,
}
"""What each of our connections may say: together no more than the gateway hears, 50 a second.

Orders and cancels are sent at once and counted afterwards: the executor's questions make room for them.
"""


@dataclass(frozen=True)
class Timing:
    """How long the connection is patient, in seconds of wall time."""

    hello: float = 5.0
    """From the first byte to the logon."""
    heartbeat: float = 5.0
    """Between two questions for the time."""
    silence: float = 10.0
    """Without a byte from the gateway: the socket is dead, closed or not."""
    request: float = 15.0
    """For the end of an answer, where the request has no time of its own."""
    delay_first: float = 0.25
    delay_max: float = 5.0
    """Between two attempts to connect; the delay doubles."""


class Connection:
    """Start it once; it connects, watches and reconnects until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        slot: ClientSlot,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        governor: Governor | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._settings = settings
        self.host = settings.ib_host or "127.0.0.1"
        self.client_id = settings.ib_client_id + slot
        self.clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self.governor = governor or Governor(
            self.clock,
            pacing=Pacing(settings.ib_pacing),
            limits=Limits(messages_per_second=MESSAGES_A_SECOND[slot]),
        )
        self._timing = timing or Timing()
        self.state = GatewayState(GatewayStatus.DISCONNECTED, "no connection yet")
        self._log = structlog.get_logger("gateway").bind(client_id=self.client_id)
        self._library: Library | None = None
        self._session: Session | None = None
        """Only while it is logged on."""
        self.session_number = 0
        """Grows with each connection: what was asked in an earlier one is forgotten by the gateway."""
        self._running: asyncio.Task[None] | None = None
        self._request_ids = itertools.count(REQUEST_ID_FIRST)
        self._questions = Questions()
        self._handlers: dict[str, list[MessageHandler]] = {}
        self._error_handlers: list[ErrorHandler] = []
        self._state_listeners: list[StateListener] = []
        self._changed = asyncio.Event()

    # life

    async def start(self) -> None:
        """Begin to connect, in the background."""
        assert self._running is None, "the connection was started before"
        self._library = load(self._settings.ib_library)
        self._running = asyncio.create_task(self._run(), name="gateway")

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._session is not None:
            self._session.close()
        self._dropped("stopped", tell=False)

    async def watch(self) -> None:
        """Returns never; raises when our own code failed on a message. For `Service.task`."""
        assert self._running is not None, "start the connection first"
        await asyncio.shield(self._running)

    async def usable(self, seconds: float) -> None:
        """Wait until requests can be made; GatewayUnavailableError with the reason when it takes longer."""
        try:
            async with asyncio.timeout(seconds):
                while not self.state.usable:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise GatewayUnavailableError(self.state.reason or self.state.status.value) from None

    def why_not_ready(self) -> str | None:
        """For `Service.ready_when`."""
        return None if self.state.usable else f"{self.state.status}: {self.state.reason}"

    # who listens

    def on_message(self, name: str, handler: MessageHandler) -> None:
        """Call `handler` with the arguments of each message that no question of ours asked for."""
        self._handlers.setdefault(name, []).append(handler)

    def on_error(self, handler: ErrorHandler) -> None:
        """Call `handler(id, code, text)` for errors that no question of ours caused."""
        self._error_handlers.append(handler)

    def on_state(self, listener: StateListener) -> None:
        """Call `listener(state, resync)` at each change; `resync` means: messages may have been missed."""
        self._state_listeners.append(listener)

    # what is said

    @property
    def library(self) -> Library:
        assert self._library is not None, "start the connection first"
        return self._library

    @property
    def encoder(self) -> Any:
        """The request methods, for a message that the governor has let through; needs a connection."""
        return self._present().encoder

    @property
    def urgent(self) -> Any:
        """The request methods, for what must not wait: written at once, and counted afterwards."""
        encoder = self._present().encoder
        self.governor.note_message()
        return encoder

    @property
    def account_id(self) -> str:
        """The one account we trade; refuses a live account unless the settings permit it."""
        accounts = self._session.accounts if self._session is not None else ()
        wanted = self._settings.ib_account
        if not accounts:
            raise GatewayUnavailableError(self.state.reason or self.state.status.value)
        if (wanted and wanted not in accounts) or (not wanted and len(accounts) > 1):
            raise AccountUnknownError(wanted, accounts)
        account = wanted or accounts[0]
        if not account.startswith("D") and not self._settings.ib_live:
            raise LiveAccountRefusedError(account)
        return account

    def new_request_id(self) -> int:
        request_id = next(self._request_ids)
        if request_id >= _REQUEST_ID_LAST:
            self._request_ids = itertools.count(REQUEST_ID_FIRST)
        return request_id

    async def ask(
        self,
        send: Callable[[Any, int], None],
        *,
        rows: str,
        end: str,
        seconds: float | None = None,
        priority: Priority = Priority.LIVE,
    ) -> list[tuple[Any, ...]]:
        """Send a numbered request; the arguments (but the number) of its `rows`, complete, or an exception.

        GatewayRequestError: the gateway's error. GatewayTimeoutError: no end marker. GatewayUnavailableError: no
        connection, or it broke meanwhile. Never half an answer.
        """
        await self.governor.message(priority)
        return await self.ask_admitted(send, rows=rows, end=end, seconds=seconds or self._timing.request)

    async def ask_admitted(
        self, send: Callable[[Any, int], None], *, rows: str, end: str, seconds: float
    ) -> list[tuple[Any, ...]]:
        """`ask` for a request that the governor has let through already."""
        request_id = self.new_request_id()
        question = Question(rows, end)
        session = self._present()
        with self._questions.numbered(request_id, question):
            send(session.encoder, request_id)
            return [row[1:] for row in await question.answered(seconds)]

    async def ask_all(
        self, send: Callable[[Any], None], *, rows: str, end: str, seconds: float | None = None
    ) -> list[tuple[Any, ...]]:
        """Send a request that has no number; one of a kind at a time."""
        async with self._questions.turn(end):
            await self.governor.message()
            question = Question(rows, end)
            session = self._present()
            with self._questions.unnumbered(question):
                send(session.encoder)
                return await question.answered(seconds or self._timing.request)

    def hold(self) -> None:
        """Stop reading: whoever listens cannot keep up. TCP makes the gateway wait."""
        if self._session is not None:
            self._session.hold()

    def release(self) -> None:
        if self._session is not None:
            self._session.release()

    @property
    def held(self) -> bool:
        return self._session is not None and self._session.held

    def _present(self) -> Session:
        if self._session is None:
            raise GatewayUnavailableError(self.state.reason or self.state.status.value)
        return self._session

    # what is heard

    def _receive(self, message: Message) -> None:
        name, arguments = message
        if name == "error":
            self._on_error(*arguments)
            return
        if arguments and (question := self._questions.of(arguments[0])) is not None:
            question.take(name, arguments)
            return
        self._questions.offer(name, arguments)
        for handler in self._handlers.get(name, ()):
            handler(*arguments)

    def _on_error(self, request_id: int, code: int, text: str, *_: Any) -> None:
        if request_id == -1:
            self._on_notice(code, text)
        if (question := self._questions.of(request_id)) is not None:
            if code not in _ADVISORY and not 2100 <= code < 2200:
                question.fail(_failure(code, text))
            return
        for handler in self._error_handlers:
            handler(request_id, code, text)

    def _on_notice(self, code: int, text: str) -> None:
        """Connectivity of the gateway itself, as codes with the id -1."""
        farm = text.rsplit(":", 1)[-1]
        degraded = self.state.status is GatewayStatus.DEGRADED
        if code in (_LOST, _SERVER_BROKEN):
            self._change(replace(self.state, status=GatewayStatus.DEGRADED, reason=f"{code} {text}"))
        elif code in (_RESTORED, _RESTORED_EMPTY):
            self._change(replace(self.state, status=GatewayStatus.CONNECTED, reason=""), resync=True)
        elif code in _FARM_BROKEN:
            self._change(replace(self.state, broken_farms=self.state.broken_farms | {farm}))
        elif code in _FARM_WELL and (
            farm in self.state.broken_farms or (degraded and str(_SERVER_BROKEN) in self.state.reason)
        ):
            # a farm that was away for seconds has silently ended subscriptions: ask for everything again
            well = GatewayState(GatewayStatus.CONNECTED, "", self.state.broken_farms - {farm})
            self._change(well, resync=True)
        else:
            self._log.info("gateway notice", code=code, text=text)

    def missed(self, what: str, reason: str) -> None:
        """A message could not be understood: listeners have to look for themselves what changed."""
        self._log.error("message of the gateway not understood", message=what, reason=reason)
        if self._session is not None and self.state.status is not GatewayStatus.CONNECTING:
            self._tell(resync=True)

    # connecting and watching

    async def _run(self) -> None:
        delay = self._timing.delay_first
        while True:
            self._change(GatewayState(GatewayStatus.CONNECTING, self.state.reason))
            session = Session(self.library, self.client_id, self._receive, self.missed)
            try:
                await session.hello(self.host, self._settings.ib_port, self._timing.hello)
                delay = self._timing.delay_first
                self._session = session
                self.session_number += 1
                self._change(GatewayState(GatewayStatus.CONNECTED), resync=True)
                reason = await self._until_lost(session)
            except GatewayUnavailableError as error:
                reason = error.reason
            except Exception as error:
                self._dropped(f"internal error: {type(error).__name__}: {error}")
                raise
            finally:
                session.close()
            self._dropped(reason)
            await asyncio.sleep(self._entropy.jitter(delay))
            delay = min(delay * 2, self._timing.delay_max)

    async def _until_lost(self, session: Session) -> str:
        """The reason why the socket is of no use any more. A silent one is as dead as a closed one."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await asyncio.wait_for(asyncio.shield(session.lost), self._timing.heartbeat)
            except TimeoutError:
                silence = loop.time() - session.received_at
            except MalformedMessageError as error:
                return f"the stream of messages is out of step: {error}"
            if silence > self._timing.silence and not session.held:
                return f"the gateway has been silent for {silence:.0f} s"
            self.governor.note_message()
            with suppress(GatewayUnavailableError):
                session.encoder.reqCurrentTime()

    def _dropped(self, reason: str, *, tell: bool = True) -> None:
        self._session = None
        self._questions.fail(GatewayUnavailableError(reason))
        if tell:
            self._change(GatewayState(GatewayStatus.DISCONNECTED, reason))

    def _change(self, state: GatewayState, *, resync: bool = False) -> None:
        changed = state != self.state
        if changed and (state.status is not self.state.status or state.reason != self.state.reason):
            self._log.info("gateway", status=state.status.value, reason=state.reason, resync=resync)
        self.state = state
        if changed or resync:
            self._changed.set()
            self._tell(resync=resync)

    def _tell(self, *, resync: bool) -> None:
        for listener in self._state_listeners:
            listener(self.state, resync)


def _failure(code: int, text: str) -> Exception:
    """What an error says about the question it answers; that we said too much says nothing about any."""
    return GatewayUnavailableError(f"{code} {text}") if code == _TOO_FAST else GatewayRequestError(code, text)
