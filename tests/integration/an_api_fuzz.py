"""Schemathesis against a running HTTP service: requests made from its own OpenAPI file, answers judged by it.

`python -m tests.integration.an_api_fuzz < plan.json`, in a process of its own: the service keeps its loop to itself.
"""

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

SEED = 20130228
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "refusals_say_what_to_change",
)
_EXAMPLES = 10


@dataclass(frozen=True)
class Plan:
    """Whom to ask, with which keys; `exists` gives values of a path's parameters of which there is something."""

    base_url: str
    document: Mapping[str, Any]
    keys: Sequence[str]
    exists: Mapping[str, Sequence[str]]


@dataclass
class Verdict:
    """Statuses of the answers by operation, and what was wrong, in words."""

    statuses: dict[str, dict[int, int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@schemathesis.check
def refusals_say_what_to_change(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """A refusal is a problem document; one of the request's contents names what is meant."""
    if response.status_code < 400:
        return
    body = response.json()
    assert response.headers["content-type"] == ["application/problem+json"], response.headers["content-type"]
    assert body["status"] == response.status_code, body
    assert len(body["detail"]) > 10, body
    if response.status_code == 422:
        named = [*_names(case), *case.query, *(case.body if isinstance(case.body, Mapping) else ())]
        assert any(str(name)[:20] in body["detail"] for name in named), f"no field is named: {body['detail']}"


def _names(case: Case[Any]) -> set[str]:
    """Fields that a request can have."""
    operation = case.operation
    places = (operation.path_parameters, operation.query, operation.headers)
    found = {parameter.name for place in places for parameter in place}
    return found | {"body"}


def fuzz(plan: Plan) -> Verdict:
    """Ask for every operation with good and bad values, the same in every run."""
    schema = schemathesis.openapi.from_dict(dict(plan.document), config=_config(plan.base_url, plan.exists))
    turn = itertools.cycle(plan.keys)

    @schemathesis.hook
    def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        case.headers["Authorization"] = f"Bearer {next(turn)}"  # in turn: none of them asks too often

    verdict = Verdict()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            verdict.wrong.append(str(event))
        elif isinstance(event, events.ScenarioFinished):
            _take_in(event, verdict)
    return verdict


def _config(base_url: str, exists: Mapping[str, Sequence[str]]) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "base-url": base_url,
            "continue-on-failure": True,
            "request-timeout": 60.0,
            "dictionaries": {name: {"values": list(values)} for name, values in exists.items()},
            "parameters": {f"path.{name}": {"dictionary": name, "probability": 0.6} for name in exists}
            | {"query.wait": 0},
            "generation": {
                "max-examples": _EXAMPLES,
                "deterministic": True,
                "no-shrink": True,
                "database": "none",
                "with-security-parameters": False,
            },
            "checks": {"enabled": False} | {name: {"enabled": True} for name in _CHECKS},
            "phases": {"stateful": {"enabled": False}},
            "cache": {"enabled": False},
            "workers": 1,
        }
    )


def _take_in(event: events.ScenarioFinished, verdict: Verdict) -> None:
    recorder = event.recorder
    statuses = verdict.statuses.setdefault(recorder.label, {})
    for interaction in recorder.interactions.values():
        if interaction.response is None:
            verdict.wrong.append(f"{recorder.label}: no answer to {interaction.request.uri}")
        else:
            status = interaction.response.status_code
            statuses[status] = statuses.get(status, 0) + 1
    failures = [check.failure_info for checks in recorder.checks.values() for check in checks if check.failure_info]
    verdict.wrong += [f"{recorder.label}: {each.failure}\n  {each.code_sample[:1000]}" for each in failures]


def main() -> int:
    json.dump(asdict(fuzz(Plan(**json.load(sys.stdin)))), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
