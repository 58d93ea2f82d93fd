"""Keys that docs/from_trl.md names are keys of a config."""

import re
from pathlib import Path

import pytest

from mmrl.algorithms import CLASSES
from mmrl.config.load import schema_of
from mmrl.config.schema import Config

PAGE = Path(__file__).parents[2] / "docs" / "from_trl.md"
ROWS = [line.split("|")[3] for line in PAGE.read_text().splitlines() if line.startswith("| ") and line.count("|") == 5]
KEYS = sorted({key for row in ROWS for key in re.findall(r"`([a-z_.]+)[`:=]", row) if "." in key and key != "rollouts.jsonl"})
FIELDS = {name for kind in CLASSES for name in kind.__dataclass_fields__}


@pytest.mark.parametrize("key", KEYS)
def test_it_is_a_key(key):
    assert len(KEYS) > 15
    node, schema = schema_of(Config), schema_of(Config)
    for part in key.split("."):
        if part in FIELDS and "discriminator" in node:  # a key of some algorithm
            return
        node = node["properties"][part]
        node = next((one for one in node.get("anyOf", []) if one.get("type") != "null"), node)
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
