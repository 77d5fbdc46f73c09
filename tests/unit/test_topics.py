"""topics.yaml is read into types, and what contradicts itself is refused."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from infra.publish import Origin, outgoing
from infra.topic_admin import topic_config
from infra.topics import Catalogue, TopicUndeclaredError, TopicUnknownError, load_catalogue
from schemas.account import Position
from schemas.event import Event
from schemas.market import Bar
from schemas.orders import Commission, OrderIntent, RiskDecision
from tests.builders import NOON, SEEN, a_bar, a_fill, an_intent


def a_catalogue_file(**topic: object) -> dict[str, object]:
    spec = {"events": "schemas.market.Bar", "key": "contract_id", "partitions": 1} | topic
    return {"constants": {}, "topics": {"market.bars.v1": spec}, "services": {}}


def test_an_event_has_one_topic() -> None:
    catalogue = load_catalogue()
    assert catalogue.topic_of(Bar).name == "market.bars.v1"
    assert catalogue.topic_of(Commission).name == "trading.fills.v1"
    assert catalogue.topic_of(RiskDecision).name == "trading.decisions.v1"


def test_an_event_without_a_topic_is_refused_with_the_remedy() -> None:
    class Rumour(Event):
        pass

    with pytest.raises(TopicUndeclaredError, match="Rumour has no topic: declare one"):
        load_catalogue().topic_of(Rumour)


def test_an_unknown_topic_says_where_to_look() -> None:
    with pytest.raises(TopicUnknownError, match="scizor topics list"):
        load_catalogue().topic("market.rumours.v1")


def test_a_key_of_two_fields_is_joined_by_a_colon() -> None:
    position = Position(
        event_time=NOON,
        ingest_time=SEEN,
        account_id="DU1",
        contract_id=265598,
        symbol="AAPL",
        quantity="-5",
        average_price="1",
        realised_pnl="0",
        commission="0",
        fills=1,
    )
    assert load_catalogue().topic_of(Position).key_of(position) == b"DU1:265598"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"key": "isin"}, "has no field"),
        ({"partitions": 0}, "greater than or equal to 1"),
        ({"events": "schemas.market.Candle"}, "Invalid python path"),
        ({"retention": "sometimes"}, "valid timedelta"),
        ({"retenton": "7d"}, "Extra inputs"),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Catalogue.model_validate(a_catalogue_file(**changes))


def test_a_service_may_name_declared_topics_only() -> None:
    file = a_catalogue_file() | {"services": {"persister": {"run": "consumers.persister", "reads": ["market.bar.v1"]}}}
    with pytest.raises(ValidationError, match=r"market\.bar\.v1"):
        Catalogue.model_validate(file)


def test_what_something_is_rebuilt_from_is_kept_for_ever() -> None:
    catalogue = load_catalogue()
    assert topic_config(catalogue.topic("market.history.v1"))["retention.ms"] == "-1"
    assert topic_config(catalogue.topic("trading.fills.v1"))["flush.messages"] == "1"
    assert topic_config(catalogue.topic("trading.positions.v1"))["cleanup.policy"] == "compact"
    assert catalogue.topic("market.ticks.v1").retention == timedelta(days=7)


def test_every_topic_has_a_declared_writer_and_every_event_survives_its_own_json() -> None:
    catalogue = load_catalogue()
    written = {topic for service in catalogue.services.values() for topic in service.writes}
    assert written == set(catalogue.topics)
    for event in (a_bar(), an_intent(), a_fill()):
        topic = catalogue.topic_of(type(event))
        assert topic.parse(event.to_json()) == event


def test_market_records_carry_no_headers_and_the_time_of_first_sight() -> None:
    record = outgoing(load_catalogue().topic_of(Bar), a_bar(), None, "scizor/market_data")
    assert record.headers == []
    assert record.timestamp_ms == int(SEEN.timestamp() * 1000)


def test_the_same_event_has_the_same_id_and_keeps_the_correlation_of_its_cause() -> None:
    topic = load_catalogue().topic_of(OrderIntent)
    cause = Origin("market.ticks.v1", 0, 7, None, 0, SEEN, event_id="e-7", correlation_id="c-7")
    first, second = (dict(outgoing(topic, an_intent(), cause, "scizor/strategist").headers) for _ in range(2))
    assert first == second
    assert (first["correlation_id"], first["causation_id"]) == (b"c-7", b"e-7")
    assert first["ce_type"] == b"scizor.trading.intents.v1.OrderIntent"


def test_a_copy_of_the_catalogue_works_out_for_itself_what_follows_from_its_topics() -> None:
    full = load_catalogue()
    assert len(full.dead_letter_sources) > 1
    one = full.services["portfolio"]
    copy = full.model_copy(update={"services": {"portfolio": one}})

    assert copy.dead_letter_sources == tuple(sorted(one.reads))
    assert [service.name for service in copy.supervised] == ["portfolio"]
