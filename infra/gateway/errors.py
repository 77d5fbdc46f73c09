"""What can go wrong when the gateway is asked: it is away, it says no, or it says nothing."""

from infra.errors import EnvironmentUnhealthyError, RefusedError, ScizorError

_NO_DATA = "returned no data"
_PACING = "pacing violation"
_QUERY_LOST = 366
_FARM_AWAY = "HMDS connection attempt failed"
_NO_PERMISSION = "no market data permission"
_NOT_PERMITTED = frozenset({354, 10089, 10090, 10168, 10186, 10187, 10189, 10190})
"""Not subscribed: for the API, in part, not even delayed, for past ticks, tick by tick."""


class GatewayUnavailableError(EnvironmentUnhealthyError):
    """There is no usable connection: not running, client id taken, or cut off from IBKR."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the IB gateway is not available: {reason}")
        self.reason = reason


class ClientIdInUseError(GatewayUnavailableError):
    """Error 326: another session, or the ghost of a crashed one, holds our client id."""

    def __init__(self, client_id: int) -> None:
        super().__init__(
            f"client id {client_id} is in use by another session (326): stop that one, "
            "or set SCIZOR_IB_CLIENT_ID to a free range"
        )
        self.client_id = client_id


class GatewayTimeoutError(ScizorError):
    """The gateway did not finish its answer in time: what came of it is thrown away, it is unknown."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"the IB gateway did not answer {what} within {seconds:g} s")


class GatewayRequestError(ScizorError):
    """The gateway answered a request with an error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the IB gateway answered {code}: {text}")
        self.code = code
        self.text = text

    @property
    def no_data(self) -> bool:
        """The gateway looked and has nothing for that range: an answer, not a failure."""
        return self.code == 162 and _NO_DATA in self.text

    @property
    def pacing(self) -> bool:
        """Too many requests, or one that the gateway has lost: the same one may be asked again later."""
        if self.code == _QUERY_LOST:
            return True
        return (self.code in (162, 420) and _PACING in self.text) or (self.code == 322 and "simultaneous" in self.text)

    @property
    def farm_away(self) -> bool:
        """The farm that has the past cannot be reached: that says nothing of the past."""
        return self.code == 162 and _FARM_AWAY in self.text

    @property
    def not_permitted(self) -> bool:
        """The account has no permission for these data: asking for more of them brings the same answer."""
        return self.code in _NOT_PERMITTED or (self.code == 162 and _NO_PERMISSION in self.text.lower())

    @property
    def unknown_contract(self) -> bool:
        return self.code == 200


class GatewayAnswerError(ScizorError):
    """The gateway's answer is complete, but makes no sense to us."""

    def __init__(self, what: str, error: Exception) -> None:
        super().__init__(f"the IB gateway's answer about {what} cannot be used: {error}")


class AccountRefusedError(RefusedError):
    def __init__(self, account_id: str, mode: str) -> None:
        kind = "a paper account" if account_id.startswith("D") else "not a paper account but real money"
        super().__init__(
            f"account {account_id} is {kind}, and SCIZOR_TRADING_MODE is {mode}: log in to the account that is meant, "
            "or say the mode that is meant (docs/trading-modes.md)"
        )


class AccountUnknownError(EnvironmentUnhealthyError):
    def __init__(self, wanted: str, present: tuple[str, ...]) -> None:
        known = ", ".join(present) or "none"
        super().__init__(
            f"account {wanted!r} is not among the gateway's accounts ({known}): set SCIZOR_IB_ACCOUNT to one of them"
            if wanted
            else f"the gateway has several accounts ({known}): set SCIZOR_IB_ACCOUNT to one of them"
        )
