"""Check one record against a JSON Schema and print `{"ok": …, "id": …, "errors": […]}`; exit 1 if it does not hold.

Only the keywords below are known. A schema that uses another one is refused: a rule that nobody checks is worse
than none. In a project of your own, use the jsonschema package.
"""

import argparse
import json
import sys
from pathlib import Path

TYPES = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool}
RULES = {
    "enum": lambda value, allowed: value in allowed,
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
}
NOTES = {"$schema", "title", "description"}
SHAPE = {"type", "required", "properties", "additionalProperties", "items"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schema", type=Path, required=True)
    parser.add_argument("--input", required=True, help="the record, a JSON object")
    options = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")
    record = json.loads(options.input)
    errors = problems(record, json.loads(options.schema.read_text(encoding="utf-8")), "")
    print(json.dumps({"ok": not errors, "id": record.get("id"), "errors": errors}, ensure_ascii=False))
    sys.exit(1 if errors else 0)


def problems(value: object, schema: dict[str, object], at: str) -> list[str]:
    """Everything about a value that its schema does not allow, each with its JSON pointer."""
    unknown = schema.keys() - RULES.keys() - NOTES - SHAPE
    if unknown:
        sys.exit(f"the schema uses keywords that this script does not check: {', '.join(sorted(unknown))}")
    kind = schema["type"]
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{at or '/'}: expected {kind}, got {json.dumps(value, ensure_ascii=False)[:40]}"]
    found = broken(value, schema, at or "/")
    if isinstance(value, list):
        for n, element in enumerate(value):
            found += problems(element, schema["items"], f"{at}/{n}")
    if isinstance(value, dict):
        found += fields(value, schema, at)
    return found


def broken(value: object, schema: dict[str, object], at: str) -> list[str]:
    rules = [rule for rule in RULES if rule in schema]
    return [f"{at}: breaks {rule} {schema[rule]}" for rule in rules if not RULES[rule](value, schema[rule])]


def fields(value: dict[str, object], schema: dict[str, object], at: str) -> list[str]:
    properties = schema.get("properties", {})
    found = [f"{at}/{name}: is missing" for name in schema.get("required", []) if name not in value]
    for name, field in value.items():
        if name in properties:
            found += problems(field, properties[name], f"{at}/{name}")
        elif schema.get("additionalProperties") is False:
            found.append(f"{at}/{name}: is not allowed")
    return found


if __name__ == "__main__":
    main()
