"""One connection to TWS or IB Gateway that comes back by itself: its state, its heartbeat, its questions and answers.

A missing gateway is a state, not a crash. What was known of the account dies with the socket: after a reconnect
listeners are told to resynchronise, and until then everything is unknown.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from infra.attention import Attention
from infra.clock import Clock, Entropy, SystemClock, SystemEntropy
from infra.gateway.absence import Absence
from infra.gateway.errors import GatewayUnavailableError
from infra.gateway.library import Library, MalformedMessageError, Message, load
from infra.gateway.notices import after_notice, failure_of
from infra.gateway.pacing import Governor
from infra.gateway.questions import Question, Questions
from infra.gateway.reports import GatewayState, GatewayStatus
from infra.gateway.session import Session
from infra.gateway.skew import ClockSkew
from infra.gateway.slots import MESSAGES_A_SECOND, ClientSlot, Timing
from infra.gateway.windows import Limits, Pacing, Priority
from infra.settings import Settings

MessageHandler = Callable[..., None]
StateListener = Callable[[GatewayState, bool], None]
ErrorHandler = Callable[[int, int, str], None]


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
        # a simulator of our own lives at another date: only a gateway that somebody named is held against our clock
        self.skew = ClockSkew(self.clock, settings.clock_skew_seconds if settings.ib_host else 0.0)
        self.absence = Absence(self.clock, settings.gateway_away_minutes)
        self._log = structlog.get_logger("gateway").bind(client_id=self.client_id)
        self._library: Library | None = None
        self._session: Session | None = None
        """Only while it is logged on."""
        self.session_number = 0
        """Grows with each connection: what was asked in an earlier one is forgotten by the gateway."""
        self._running: asyncio.Task[None] | None = None
        self._questions = Questions()
        self._handlers: dict[str, list[MessageHandler]] = {}
        self._error_handlers: list[ErrorHandler] = []
        self._state_listeners: list[StateListener] = []
        self._changed = asyncio.Event()
        if self.skew.compares:
            self.on_message("currentTime", self.skew.heard)

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
        if self.state.usable:
            return self.skew.trouble
        overdue = self.absence.overdue()
        return f"{self.state.status}: {self.state.reason}" + (f"; {overdue}" if overdue else "")

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
        """The one account we trade; refuses one that does not fit the trading mode."""
        return self._present().account_id(self._settings)

    def new_request_id(self) -> int:
        return self._questions.new_number()

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

    def ask_time(self) -> None:
        """The answer comes as the message `currentTime`, and says how far its clock is from ours."""
        self.governor.note_message()
        with suppress(GatewayUnavailableError):
            self._present().encoder.reqCurrentTime()
            self.skew.asked()

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
            if (why := failure_of(code, text)) is not None:
                question.fail(why)
            return
        for handler in self._error_handlers:
            handler(request_id, code, text)

    def _on_notice(self, code: int, text: str) -> None:
        """Connectivity of the gateway itself, as codes with the id -1."""
        after = after_notice(self.state, code, text)
        if after is None:
            self._log.info("gateway notice", code=code, text=text)
        else:
            self._change(after[0], resync=after[1])

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
            session = Session(self.library, self.client_id, self._receive, self.missed, self.clock.monotonic)
            try:
                await session.hello(self.host, self._settings.ib_port, self._timing.hello)
                delay = self._timing.delay_first
                self._session = session
                self.session_number += 1
                self.skew.forget()
                if "currentTime" in self._handlers:  # it is one of few messages a second: asked where somebody listens
                    self.ask_time()
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
            self.absence.overdue()
            await asyncio.sleep(self._entropy.jitter(delay))
            delay = min(delay * 2, self._timing.delay_max)

    async def _until_lost(self, session: Session) -> str:
        """The reason why the socket is of no use any more. A silent one is as dead as a closed one; but what we were
        stopped or stalled for is not its silence: it was not asked for the time, and its answers were not read."""
        beat, now = self._timing.heartbeat, self.clock.monotonic
        attention = Attention(now, beat)
        since, received_at = attention.look(), session.received_at
        while True:
            try:
                async with asyncio.timeout(beat):
                    return await asyncio.shield(session.lost)
            except TimeoutError:
                lived = attention.look()
            except MalformedMessageError as error:
                return f"the stream of messages is out of step: {error}"
            if session.received_at != received_at:
                received_at = session.received_at
                since = lived - min(now() - received_at, beat)
            silence = lived - since
            if silence > self._timing.silence and not session.held:
                return f"the gateway has been silent for {silence:.0f} s"
            self.absence.overdue()  # the socket may be open and IBKR's servers away
            self.ask_time()

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
        if state.usable:
            self.absence.came()
        else:
            self.absence.went()
        if changed or resync:
            self._changed.set()
            self._tell(resync=resync)

    def _tell(self, *, resync: bool) -> None:
        for listener in self._state_listeners:
            listener(self.state, resync)
