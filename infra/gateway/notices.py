"""What the gateway says of itself: codes about its own links and farms, and which errors end no question."""

from dataclasses import replace

from infra.gateway.errors import GatewayRequestError, GatewayUnavailableError
from infra.gateway.reports import GatewayState, GatewayStatus

_TOO_FAST = 100
_LOST, _RESTORED_EMPTY, _RESTORED, _SERVER_BROKEN = 1100, 1101, 1102, 2110
_FARM_BROKEN = frozenset({2103, 2105, 2157})
_FARM_WELL = frozenset({2104, 2106, 2107, 2108, 2158})
_ADVISORY = frozenset({165, 202, 399, 404, 492, 10090, 10089, 10167})


def after_notice(state: GatewayState, code: int, text: str) -> tuple[GatewayState, bool] | None:
    """The state that follows, and whether messages may have been missed; None when the code says nothing of it."""
    farm = text.rsplit(":", 1)[-1]
    if code in (_LOST, _SERVER_BROKEN):
        return replace(state, status=GatewayStatus.DEGRADED, reason=f"{code} {text}"), False
    if code in (_RESTORED, _RESTORED_EMPTY):
        return replace(state, status=GatewayStatus.CONNECTED, reason=""), True
    if code in _FARM_BROKEN:
        return replace(state, broken_farms=state.broken_farms | {farm}), False
    server_was_broken = state.status is GatewayStatus.DEGRADED and str(_SERVER_BROKEN) in state.reason
    if code in _FARM_WELL and (farm in state.broken_farms or server_was_broken):
        # a farm that was away for seconds has silently ended subscriptions: ask for everything again
        return GatewayState(GatewayStatus.CONNECTED, "", state.broken_farms - {farm}), True
    return None


def failure_of(code: int, text: str) -> Exception | None:
    """What an error says about the question it answers: nothing when it only advises.

    That we said too much says nothing about any question.
    """
    if code in _ADVISORY or 2100 <= code < 2200:
        return None
    return GatewayUnavailableError(f"{code} {text}") if code == _TOO_FAST else GatewayRequestError(code, text)
