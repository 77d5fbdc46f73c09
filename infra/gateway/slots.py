"""Our connections to one gateway: which client id each takes, what it may say, and how patient it is."""

from dataclasses import dataclass
from enum import IntEnum


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
