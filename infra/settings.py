"""The environment, read once: every setting of SCIZOR with its meaning and default."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Read from `SCIZOR_*` variables and from `.env`; frozen once read."""

    model_config = SettingsConfigDict(
        env_prefix="SCIZOR_", env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    home: Path = Field(
        REPOSITORY / ".scizor", description="State folder of the embedded stack: data, logs, keys, run files."
    )
    kafka: str = Field(
        "", description="Bootstrap address host:port of an outside Kafka; empty starts the embedded broker."
    )
    kafka_username: str = Field("", description="SASL user name of an outside Kafka; empty means no authentication.")
    kafka_password: SecretStr = Field(SecretStr(""), description="SASL password of an outside Kafka.")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Security protocol of Kafka connections; SASL uses SCRAM-SHA-512."
    )
    allow_open_kafka: bool = Field(
        False, description="Let a real gateway account trade over a Kafka without authentication."
    )
    topic_prefix: str = Field("scizor.", description="Put before every topic name and consumer group.")
    database_url: SecretStr = Field(
        SecretStr(""),
        description="postgresql://user:password@host:port/name of an outside database; empty starts the embedded one.",
    )
    kafka_port: int = Field(
        9092, ge=0, le=65535, description="Wished port of the embedded broker; a free one if taken."
    )
    database_port: int = Field(
        5432, ge=0, le=65535, description="Wished port of the embedded PostgreSQL; a free one if taken."
    )
    ib_host: str = Field("", description="Host of a real TWS or IB Gateway; empty starts the gateway simulator.")
    ib_port: int = Field(
        7497,
        ge=1,
        le=65535,
        description="Port of the gateway: 7497/7496 TWS paper/live, 4002/4001 IB Gateway paper/live.",
    )
    ib_account: str = Field("", description="Account to trade; empty takes the only account of the gateway.")
    ib_client_id: PositiveInt = Field(
        10, description="First API client id; services use this one and the next ones, one each, and never another."
    )
    ib_library: Literal["ib_insync", "ib_async"] = Field(
        "ib_insync", description="Client library of the gateway connection; ib_async needs the extra of that name."
    )
    ib_pacing: Literal["strict", "today", "off"] = Field(
        "today",
        description="Requests for bars held to IB's pacing rules: strict all, today those for bars of 30 s and less "
        "(as IB counts today), off none (only for a gateway without limits).",
    )
    ib_lines: int = Field(
        100, ge=1, le=10_000, description="Market data lines of the account: live bars, ticks and quotes each take one."
    )
    trading_mode: Literal["simulated", "paper", "live"] = Field(
        "simulated",
        description="What is traded: the simulator's account, a paper account, or (live) real money; an account that "
        "does not fit is refused. Paper accounts begin with D.",
    )
    live_account: str = Field(
        "",
        description="The id of SCIZOR_IB_ACCOUNT typed once more: without it, and a green `scizor doctor`, nothing "
        "trades live.",
    )
    clock_skew_seconds: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="Seconds that the clock of a gateway named by SCIZOR_IB_HOST may be off ours; beyond, nothing is "
        "traded. 0 compares nothing: for a simulator there, which lives at another date.",
    )
    gateway_away_minutes: float = Field(
        10.0,
        gt=0,
        le=1440,
        description="Minutes for which the gateway may be away, beyond IB's nightly reset, until that is told as an "
        "error.",
    )
    reconcile_seconds: float = Field(
        30.0, gt=0, le=60, description="Wall seconds between two comparisons of orders and positions with the broker's."
    )
    reconcile_patience_seconds: float = Field(
        5.0,
        gt=0,
        le=60,
        description="Wall seconds between the two looks after which an order that the broker lacks never arrived.",
    )
    orders_per_second: int = Field(
        20,
        ge=1,
        le=30,
        description="New orders and changes that the executor sends within a second; more wait for a second at most.",
    )
    symbols_verified_days: int = Field(
        90, ge=1, le=3650, description="Days for which the gateway's answer about a symbol holds: not asked for again."
    )
    replay_cache_mb: int = Field(
        2_000,
        ge=0,
        le=1_000_000,
        description="Megabytes of replayed bars kept below the state folder, for the next backtest; 0 keeps none.",
    )
    backtest_bars_at_once: int = Field(
        2_000_000,
        ge=1,
        le=1_000_000_000,
        description="A backtest over more bars than this reads them piece by piece, in memory that does not grow.",
    )
    backtests_open_max: int = Field(
        20, ge=1, le=10_000, description="Backtests of one API key that may wait or run at a time; one more is refused."
    )
    simulator_now: str = Field(
        "2013-02-28T09:25:00-05:00", description="Market time at which the gateway simulator starts."
    )
    simulator_speed: float = Field(1.0, gt=0, description="Market seconds per wall second of the gateway simulator.")
    simulator_seed: int = Field(7, description="Seed of everything that the simulator derives or invents.")
    collect_daily: bool = Field(
        True, description="Collect the daily bars of all valid symbols after each session of the US exchanges and ASX."
    )
    collect_daily_delay_minutes: float = Field(
        30.0, ge=0, le=720, description="Market minutes from a session's close to its daily collection."
    )
    farmer_port: int = Field(8000, ge=0, le=65535, description="HTTP port of the data farmer.")
    backtester_port: int = Field(8001, ge=0, le=65535, description="HTTP port of the backtester.")
    trader_port: int = Field(8002, ge=0, le=65535, description="HTTP port of the algo trader.")
    bind: str = Field("127.0.0.1", description="Address that HTTP services and metrics listen on.")
    cors_origins: list[str] = Field(
        default_factory=list, description="Origins of browser pages that may call the HTTP services (a JSON list)."
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of /metrics, /live, /ready of a service; 0 takes a free one."
    )
    alert_urls_info: SecretStr = Field(
        SecretStr(""),
        description="Where every alert goes: addresses of apprise, by spaces (mailto://, slack://, json://, ...).",
    )
    alert_urls_warning: SecretStr = Field(
        SecretStr(""), description="Where warnings and critical alerts go, besides: addresses of apprise, by spaces."
    )
    alert_urls_critical: SecretStr = Field(
        SecretStr(""), description="Where critical alerts go, besides: addresses of apprise, by spaces."
    )
    alert_repeat_minutes: float = Field(
        60.0, gt=0, le=10_080, description="Minutes after which an alert that is still open is told again."
    )
    alert_lag_records: int = Field(
        10_000, ge=1, description="Records that a service may be behind on a topic before that is an alert."
    )
    monitor_targets: str = Field(
        "",
        description="File that names the services to watch, as Prometheus reads it; else the one in the state folder.",
    )
    instance: str = Field(
        "1", pattern=r"^[A-Za-z0-9_-]{1,32}$", description="Slot of this process among the members of its service."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="Shape of log lines on stderr.")
