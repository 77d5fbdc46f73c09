"""Whether a changed JSON Schema still understands, and is understood by, those who knew the one before.

Records stay in a topic for years, and old readers run beside new writers: so both directions have to hold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

# bound: what a greater number means for it
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "x-minimum", "x-exclusiveMinimum", "minLength", "minItems")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "x-maximum", "x-exclusiveMaximum", "maxLength", "maxItems")
_EXACT = ("type", "const", "format", "pattern", "multipleOf", "uniqueItems", "x-decimalPlaces", "x-maxDigits")

OLD_RECORDS = "records written before could not be read"
OLD_READERS = "readers of before could not read new records"


@dataclass(frozen=True)
class Break:
    """One thing that somebody would no longer understand."""

    where: str
    what: str
    who: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.who}"


def breaks(old: Schema, new: Schema) -> list[Break]:
    """Everything in `new` that readers or records of `old` cannot bear; empty when it is compatible."""
    found = list(_Comparison(old, new).compare(old, new, str(new.get("title", "schema"))))
    if old.get("x-key") != new.get("x-key"):
        what = f"the key changed from {old.get('x-key')} to {new.get('x-key')}"
        found.append(Break(str(new.get("title", "schema")), what, "order and compaction would no longer hold"))
    return found


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old_definitions = old.get("$defs", {})
        self._new_definitions = new.get("$defs", {})
        self._compared: set[tuple[str, str]] = set()

    def compare(self, old: Schema, new: Schema, where: str) -> Iterator[Break]:
        names = (old.get("$ref", ""), new.get("$ref", ""))
        if all(names):
            if names in self._compared:
                return
            self._compared.add(names)
        old, new = _resolved(old, self._old_definitions), _resolved(new, self._new_definitions)
        if _is_union(old) or _is_union(new):
            yield from self._alternatives(old, new, where)
            return
        yield from _values(old, new, where)
        yield from self._fields(old, new, where)
        yield from self._elements(old, new, where)

    def _alternatives(self, old: Schema, new: Schema, where: str) -> Iterator[Break]:
        before = {_tag(_resolved(a, self._old_definitions)): a for a in _members(old)}
        after = {_tag(_resolved(a, self._new_definitions)): a for a in _members(new)}
        for tag in sorted(set(before) - set(after)):
            yield Break(where, f"{tag} is no longer allowed", OLD_RECORDS)
        for tag in sorted(set(after) - set(before)):
            yield Break(where, f"{tag} is allowed now", OLD_READERS)
        for tag in sorted(set(before) & set(after)):
            is_event = "properties" in _resolved(before[tag], self._old_definitions)
            yield from self.compare(before[tag], after[tag], tag if is_event else where)

    def _fields(self, old: Schema, new: Schema, where: str) -> Iterator[Break]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
        for name in before:
            if name not in after:
                yield Break(f"{where}.{name}", "the field was removed or renamed", OLD_READERS)
                continue
            yield from self.compare(before[name], after[name], f"{where}.{name}")
            if name in needed_after - needed_before:
                yield Break(f"{where}.{name}", "the field is required now", OLD_RECORDS)
            if name in needed_before - needed_after:
                yield Break(f"{where}.{name}", "the field may be missing now", OLD_READERS)
        for name in after:
            if name not in before and name in needed_after:
                yield Break(f"{where}.{name}", "the new field has no default", OLD_RECORDS)

    def _elements(self, old: Schema, new: Schema, where: str) -> Iterator[Break]:
        for name in ("items", "additionalProperties"):
            before, after = _open(old.get(name)), _open(new.get(name))
            if isinstance(before, Mapping) and isinstance(after, Mapping):
                yield from self.compare(before, after, f"{where}[]")
            elif before != after:
                yield Break(f"{where}[]", f"{name} changed from {before} to {after}", OLD_RECORDS)
        before, after = old.get("prefixItems", ()), new.get("prefixItems", ())
        if len(before) != len(after):
            yield Break(f"{where}[]", f"{len(before)} places became {len(after)}", OLD_RECORDS)
        for place, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from self.compare(one, other, f"{where}[{place}]")


def _values(old: Schema, new: Schema, where: str) -> Iterator[Break]:
    """Types and bounds of a single value."""
    for name in _EXACT:
        before, after = old.get(name), new.get(name)
        if before != after:
            widened = (name, before, after) == ("type", "integer", "number")
            yield Break(where, f"{name} changed from {before!r} to {after!r}", OLD_READERS if widened else OLD_RECORDS)
    yield from _members_of_enum(old, new, where)
    for name in (*_LOWER_BOUNDS, *_UPPER_BOUNDS):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        tightened = before is None or (after is not None and (after > before) == (name in _LOWER_BOUNDS))
        yield Break(where, f"{name} changed from {before} to {after}", OLD_RECORDS if tightened else OLD_READERS)


def _members_of_enum(old: Schema, new: Schema, where: str) -> Iterator[Break]:
    before, after = old.get("enum"), new.get("enum")
    if (before is None) != (after is None):
        yield Break(
            where, "became a closed list of words" if before is None else "is no closed list any more", OLD_RECORDS
        )
        return
    for member in sorted(set(before or ()) - set(after or ())):
        yield Break(where, f"the word {member!r} was removed", OLD_RECORDS)
    for member in sorted(set(after or ()) - set(before or ())):
        yield Break(where, f"the word {member!r} is new", OLD_READERS)


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" not in schema:
        return schema
    return {**definitions[schema["$ref"].removeprefix("#/$defs/")], **{k: v for k, v in schema.items() if k != "$ref"}}


def _is_union(schema: Schema) -> bool:
    return "anyOf" in schema or "oneOf" in schema


def _members(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf") or schema.get("oneOf") or [schema])


def _tag(alternative: Schema) -> str:
    """What tells one alternative of a union from the others: an event's type, else the kind of value."""
    tag = alternative.get("properties", {}).get("type", {}).get("const")
    return str(tag or alternative.get("const") or alternative.get("format") or alternative.get("type", "anything"))


def _open(schema: Any) -> Any:
    """`true` and nothing both mean: whatever it is."""
    return None if schema in (True, {}) else schema
