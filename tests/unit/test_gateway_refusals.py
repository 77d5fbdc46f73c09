"""What the gateway's refusals mean: too fast, nothing there, or not permitted."""

import pytest

from infra.gateway import GatewayRequestError

_SERVICE = "Historical Market Data Service error message:"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (162, f"{_SERVICE}No market data permissions for ISLAND STK"),
        (354, "Requested market data is not subscribed."),
        (10089, "Requested market data requires additional subscription for API."),
        (10168, "Requested market data is not subscribed. Delayed market data is not enabled."),
        (10187, "Failed to request historical ticks:No market data permissions for ISLAND STK"),
        (10189, "Failed to request tick-by-tick data:No market data permissions for ISLAND STK"),
    ],
)
def test_a_lack_of_permission_is_none_of_pace_and_no_answer(code: int, text: str) -> None:
    error = GatewayRequestError(code, text)

    assert (error.not_permitted, error.pacing, error.no_data, error.farm_away) == (True, False, False, False)
    assert str(error) == f"the IB gateway answered {code}: {text}"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (162, f"{_SERVICE}HMDS query returned no data: AAPL@SMART Trades"),
        (162, f"{_SERVICE}Historical data request pacing violation"),
        (162, f"{_SERVICE}HMDS connection attempt failed. Connection will be attempted again."),
        (200, "No security definition has been found for the request"),
        (366, "No historical data query found for ticker id:1"),
    ],
)
def test_other_refusals_say_nothing_about_permission(code: int, text: str) -> None:
    assert not GatewayRequestError(code, text).not_permitted
