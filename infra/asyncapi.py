"""The AsyncAPI 3.0 document of all topics: who sends what where, made from topics.yaml and the event models."""

from importlib.metadata import version
from typing import Any

from infra.schema_files import schema_of
from infra.topic_admin import topic_config
from infra.topics import Catalogue, ServiceSpec, TopicSpec

_DESCRIPTION = """\
SCIZOR's events on Apache Kafka. Values are plain JSON, the key orders them, `type` names the event of a family.
Prices and volumes of market events are numbers; orders, fills and money are decimal strings; times are RFC 3339 in UTC.
Record timestamps are `ingest_time`. Readers ignore fields they do not know."""
_KAFKA = "0.5.0"
_HEADERS = {
    "ce_specversion": "CloudEvents in binary mode.",
    "ce_id": "A function of topic and value: the same event has the same id.",
    "ce_type": "Topic and event.",
    "ce_source": "The service that wrote it.",
    "ce_time": "`event_time`.",
    "content-type": "application/json",
    "correlation_id": "Shared by everything that follows from one first event.",
    "causation_id": "`ce_id` of the event that this one follows from.",
    "traceparent": "W3C trace context.",
}
_OPTIONAL_HEADERS = ("causation_id",)


def document(catalogue: Catalogue, prefix: str) -> dict[str, Any]:
    """The whole document; the same catalogue and prefix give the same document."""
    topics = catalogue.topics.values()
    schemas: dict[str, Any] = {}
    for topic in topics:
        _collect(topic, schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "SCIZOR",
            "version": version("scizor"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "localhost:9092",
                "protocol": "kafka",
                "description": "The usual address; `scizor status` tells the one in use.",
            }
        },
        "channels": {topic.name: _channel(topic, prefix) for topic in topics},
        "operations": {
            name: operation
            for service in catalogue.services.values()
            for name, operation in _operations(service, prefix).items()
        },
        "components": {
            "messages": {
                event.__name__: _message(topic, event.__name__) for topic in topics for event in topic.classes
            },
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _channel(topic: TopicSpec, prefix: str) -> dict[str, Any]:
    config = topic_config(topic)
    return {
        "address": prefix + topic.name,
        "messages": {e.__name__: {"$ref": f"#/components/messages/{e.__name__}"} for e in topic.classes},
        "bindings": {
            "kafka": {
                "topic": prefix + topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [config["cleanup.policy"]],
                    "retention.ms": int(config["retention.ms"]),
                    "max.message.bytes": int(config["max.message.bytes"]),
                },
                "bindingVersion": _KAFKA,
            }
        },
    }


def _operations(service: ServiceSpec, prefix: str) -> dict[str, Any]:
    """What a service receives in its group, replays without one, and sends."""
    group = {"kafka": {"groupId": {"type": "string", "const": prefix + service.name}, "bindingVersion": _KAFKA}}
    wanted = [(topic, "receive", f"{service.name} consumes {topic}", group) for topic in service.reads]
    wanted += [(topic, "replay", f"{service.name} reads {topic} from the beginning", {}) for topic in service.replays]
    wanted += [(topic, "send", f"{service.name} publishes to {topic}", {}) for topic in service.writes]
    return {
        f"{service.name}.{verb}.{topic}": {
            "action": "send" if verb == "send" else "receive",
            "channel": {"$ref": f"#/channels/{topic}"},
            "summary": summary,
        }
        | ({"bindings": bindings} if bindings else {})
        for topic, verb, summary, bindings in wanted
    }


def _message(topic: TopicSpec, event: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": event,
        "title": event,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{event}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": ":".join(topic.key)},
                "bindingVersion": _KAFKA,
            }
        },
    }
    if topic.headers == "cloudevents":
        message["correlationId"] = {"location": "$message.header#/correlation_id"}
        message["headers"] = {
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in _HEADERS.items()},
            "required": [name for name in _HEADERS if name not in _OPTIONAL_HEADERS],
        }
    return message


def _collect(topic: TopicSpec, schemas: dict[str, Any]) -> None:
    """Add the topic's events, and all that they carry, under their names."""
    schema = schema_of(topic)
    definitions = schema.pop("$defs", {})
    if "properties" in schema:
        event = {key: value for key, value in schema.items() if key not in ("$schema", "$id", "x-key")}
        definitions = {**definitions, schema["title"]: event}
    for name, definition in definitions.items():
        translated = _translated(definition)
        assert schemas.setdefault(name, translated) == translated, f"two different things are called {name}"


def _translated(node: Any) -> Any:
    """AsyncAPI's schema dialect is JSON Schema draft 7 with discriminators that are plain names."""
    if isinstance(node, list):
        return [_translated(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _translated(value) for key, value in node.items()}
    if isinstance(ref := found.get("$ref"), str):
        found["$ref"] = ref.replace("#/$defs/", "#/components/schemas/")
    if isinstance(tag := found.get("discriminator"), dict) and "propertyName" in tag:
        found["discriminator"] = tag["propertyName"]
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
    return found
