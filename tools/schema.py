"""Write the JSON schemas by which editors complete and check configs: python tools/schema.py"""

import json
from pathlib import Path

from mmrl.config.json_schema import schema_of
from mmrl.config.schema import Config, EvalConfig

FOLDER = Path(__file__).parents[1] / "configs" / "schema"
KINDS = {"train": Config, "eval": EvalConfig}


def text(name: str) -> str:
    """Return the schema of a kind of config."""
    return json.dumps(schema_of(KINDS[name]), indent=1) + "\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in KINDS:
        (FOLDER / f"{name}.schema.json").write_text(text(name))


if __name__ == "__main__":
    main()
