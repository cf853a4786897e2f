"""Summarise one document with OpenAI's official client and print the result as one JSON line.

This is any script that calls a model: it knows nothing of Penstock. The client finds its server and its key in the
environment, as it always does.
"""

import argparse
import json
import sys
from pathlib import Path

from openai import OpenAI

HERE = Path(__file__).parent.parent
OWN = ("id", "title", "lang", "model")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True, help="the document: a JSON object with id, title, lang and text")
    options = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")
    document = json.loads(options.input)
    record = {name: document[name] for name in ("id", "title", "lang")}
    record |= summarise(document, options.model)
    record["model"] = options.model
    print(json.dumps(record, ensure_ascii=False))


def summarise(document: dict[str, str], model: str) -> dict[str, object]:
    """What the model makes of the document, in the form that the schema wants."""
    answer = OpenAI().chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "Summarise the document in two or three sentences, in its own language."},
            {"role": "user", "content": json.dumps(document, ensure_ascii=False)},
        ],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "summary", "strict": True, "schema": asked_for()},
        },
        max_tokens=800,
        temperature=0,
    )
    return json.loads(answer.choices[0].message.content or "{}")


def asked_for() -> dict[str, object]:
    """The schema of the output without what the model need not say."""
    schema = json.loads((HERE / "schemas" / "output.schema.json").read_text(encoding="utf-8"))
    properties = {name: part for name, part in schema["properties"].items() if name not in OWN}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


if __name__ == "__main__":
    main()
