"""Faults of the gateway: it closes, restarts, lies, doubles, drops and corrects."""

from random import Random

from tests.faultlab.faults import at, fault
from tests.faultlab.stage import Stage, drawn

# F14-F23: the gateway

at("closed-before-acknowledgement", "F14", "the gateway closes instead of acknowledging",
    "ack sent", drop=True, close=True)  # fmt: skip
at("closed-after-acknowledgement", "F14", "the gateway closes after an acknowledgement", "ack sent", close=True)
at("closed-at-an-order", "F14", "the gateway closes when an order comes",
    "placeOrder received", close=True)  # fmt: skip
at("closed-at-a-fill", "F14", "the gateway closes instead of telling a fill", "fill sent", drop=True, close=True)
at("cut-mid-message", "F14", "the connection ends within a status", "status sent", cut=20)
at("outage-data-lost", "F16", "1100 at an acknowledgement, 1101 after two seconds",
    "ack sent", outage={"seconds": 2, "restored": 1101})  # fmt: skip
at("outage-data-kept", "F16", "1100 at an order, 1102 after two seconds; orders are held",
    "placeOrder received", outage={"seconds": 2, "restored": 1102})  # fmt: skip
at("outage-orders-lost", "F16", "1100 at an acknowledgement; orders that come meanwhile are lost",
    "ack sent", outage={"seconds": 2, "orders": "lost"})  # fmt: skip
at("gateway-frozen", "F17", "the gateway neither reads nor writes for three seconds",
    "ack sent", freeze={"seconds": 3})  # fmt: skip
at("gateway-restarts", "F18", "the gateway restarts after a fill", "fill sent", restart={"seconds": 1.5})
at("fill-dropped", "F19", "exactly one fill is never told", "fill sent", drop=True)
at("order-dropped", "F19", "an order is lost on its way", "placeOrder received", drop=True)
at("status-dropped", "F20", "a status is never told", "status sent", drop=True)
at("order-refused", "F22", "201: an order never comes to the book", "placeOrder received", error={"code": 201})
at("order-killed", "F22", "202: the exchange throws an order out", "status sent", throw_out={"code": 202})
for _code in (103, 104, 105, 321):
    at(f"error-{_code}-order-lives", "F22", f"error {_code} for an order that works all the same",
        "placeOrder received", error={"code": _code, "order": "alive"})  # fmt: skip
for _code in (161, 10147):
    at(f"error-{_code}-cancel-refused", "F22", f"error {_code}: a cancel is refused, the order works on",
        "cancelOrder received", error={"code": _code})  # fmt: skip
at("execution-corrected", "F21", "an execution is corrected: one share less",
    "fill sent", correct={"quantity_by": -1, "after": 0.3})  # fmt: skip
at("execution-repriced", "F21", "an execution is corrected: another price",
    "fill sent", correct={"price_by": -0.5, "after": 0.3})  # fmt: skip
at("execution-busted", "F21", "an execution is taken back", "fill sent", bust={"after": 0.3})


@fault("everything-told-twice", "F20", "statuses, fills and commissions are told twice, and once more later")
async def _told_twice(stage: Stage, rng: Random) -> None:
    for event in ("status sent", "fill sent", "commission sent"):
        stage.arm(event, 1, 50, duplicate=True, echo=drawn(rng, 0.2, 0.8))


@fault("everything-told-late", "F20", "statuses and fills come late and are overtaken")
async def _told_late(stage: Stage, rng: Random) -> None:
    stage.arm("status sent", 1, 6, delay=drawn(rng, 0.1, 0.8), overtake=True)
    stage.arm("fill sent", rng.randint(1, 3), 2, delay=drawn(rng, 0.1, 0.8), overtake=True)


@fault("fill-beyond-the-order", "F20", "an order is filled beyond its quantity", halts=True, pairs=False)
async def _overfill(stage: Stage, rng: Random) -> None:
    stage.arm("fill sent", rng.randint(1, 2), overfill={"quantity": 5, "after": 0.2})


@fault("ids-fall-back", "F22", "the next valid id falls back behind ids that were used", halts=True, pairs=False)
async def _ids_fall_back(stage: Stage, rng: Random) -> None:
    stage.arm("fill sent", rng.randint(1, 3), next_id={"by": 1000, "client_id": 10})
    stage.arm("commission sent", rng.randint(1, 3), close=True)


@fault("client-id-in-use", "F23", "the executor is killed, and its client id counts as in use for two seconds")
async def _id_in_use(stage: Stage, rng: Random) -> None:
    stage.arm("disconnected noted", occupied={"seconds": 2})
    stage.kill("executor")


@fault("order-of-a-person", "F22", "a person buys in TWS itself")
async def _person(stage: Stage, rng: Random) -> None:
    stage.do(manual_order={"symbol": "AAPL", "side": "BUY", "quantity": rng.randint(1, 9)})
