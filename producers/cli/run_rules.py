"""The rules of a backtest as a person writes them: models with their rates, and every other rule by name."""

from infra.errors import UsageError


def rules_from(models: dict[str, str], rule: list[str]) -> dict[str, str | float]:
    """`models` are options like commission, as NAME or NAME=RATE (empty: not chosen); each `rule` is NAME=VALUE."""
    rules: dict[str, str | float] = {}
    for option, text in models.items():
        name, equals, rate = text.partition("=")
        if not name.strip():
            continue
        rules[option] = name.strip()
        if equals:
            rules["sizing_percent" if option == "sizing" else f"{option}_rate"] = _number(option, text, rate)
    for each in rule:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--rule {each!r}: write NAME=VALUE, for instance account=cash")
        rules[name.strip().replace("-", "_")] = value.strip()
    return rules


def _number(option: str, text: str, rate: str) -> float:
    try:
        return float(rate)
    except ValueError:
        raise UsageError(f"--{option} {text}: write NAME or NAME=RATE, for instance bps=10") from None
