"""What a service that holds a connection to the gateway shows of it."""

from prometheus_client import CollectorRegistry, Gauge

from infra.gateway.connection import Connection


def measure(connection: Connection, registry: CollectorRegistry) -> None:
    """Gauges that look at the connection when they are read."""
    connected = Gauge("scizor_gateway_connected", "1 when the gateway can be asked, else 0", registry=registry)
    connected.set_function(lambda: float(connection.state.usable))
    away = Gauge("scizor_gateway_away_seconds", "For how long it has been away; 0 while it is there", registry=registry)
    away.set_function(lambda: connection.absence.seconds)
    overdue = Gauge("scizor_gateway_overdue", "1 when it is away longer than IB's resets take", registry=registry)
    overdue.set_function(lambda: float(connection.absence.overdue() is not None))
    skew = Gauge(
        "scizor_gateway_clock_skew_seconds",
        "How far its clock is ahead of ours for certain; 0 when both may be the same, or are not compared",
        registry=registry,
    )
    skew.set_function(lambda: connection.skew.seconds)
