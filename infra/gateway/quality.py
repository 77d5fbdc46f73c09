"""How single records of the gateway are checked: the rules live in infra/quality."""

from infra.quality.values import broken_rule, checked, quarantined

__all__ = ["broken_rule", "checked", "quarantined"]
