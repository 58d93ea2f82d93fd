"""A format of a user's own: equal examples where its rules are those of one of mmrl's, and read by trains and evaluations."""

import json
from pathlib import Path

import pytest

from mmrl.config.load import parse
from mmrl.config.open_data import open_set
from mmrl.config.schema import SetSection
from mmrl.data.formats.registry import format_of
from mmrl.data.formats.tvbench import TVBench
from tests.own_code import own

FIXTURES = Path(__file__).parents[2] / "fixtures" / "tvbench"
CODE = '''
from dataclasses import dataclass
from pathlib import Path

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.seed_bench_r1 import SeedBenchR1
from mmrl.types import Media


@dataclass(frozen=True)
class Mine(Annotations):
    """TVBench, by its rules."""

    columns = ("video", "question", "candidates", "answer")

    def convert(self, row, epoch):
        task = Path(self.annotations).stem
        cut = task in ("action_sequence", "action_localization")
        choices, path = row.texts("candidates"), Path(self.media, task, row.text("video"))
        return {
            "question": row.text("question"),
            "answer": chr(ord("A") + choices.index(row.text("answer").strip())),
            "choices": choices,
            "media": (Media("video", path, row.span("start", "end", "seconds") if cut else None),),
            "cluster": str(path),
        }


@dataclass(frozen=True)
class Shuffled(SeedBenchR1):
    """SEED-Bench-R1 under another name."""
'''
SEED = {
    "sample_id": 1,
    "question": "what next?",
    "answer": "cut",
    "negative_answers": ["mix", "pour", "wash", "peel"],
    "task_progress_metadata": [],
    "video_source": "a",
    "video_basename": "b.mp4",
    "current_observation_basename": "c.png",
}


def examples(data):
    return [data.example(index, 0) for index in range(len(data))]


@pytest.mark.parametrize("file", sorted((FIXTURES / "json").glob("*")), ids=lambda path: path.stem)
def test_tvbenchs_rules_in_a_file_give_tvbenchs_examples(tmp_path, file):
    spec = own(tmp_path, "mine.py", CODE) + ":Mine"
    section = {"format": spec, "file": f"json/{file.name}", "media": "video"}
    made = examples(open_set(parse(SetSection, section, "made"), FIXTURES, "file", 0))
    assert made
    assert made == examples(TVBench(f"json/{file.name}", media="video").open(FIXTURES))


def test_keys_of_a_set_reach_a_format(tmp_path):
    section = {"format": own(tmp_path, "mine.py", CODE) + ":Mine", "file": "json/" + min(FIXTURES.glob("json/*")).name}
    found = open_set(parse(SetSection, section | {"prefix": "p-", "limit": 1}, "made"), FIXTURES, "file", 0)
    assert [name[:2] for name in found.ids] == ["p-"]


def test_a_subclass_of_seed_bench_r1_draws_options_as_it_does(tmp_path):
    (tmp_path / "d.jsonl").write_text(json.dumps(SEED) + "\n")
    drawn = []
    for name in ("seed_bench_r1", own(tmp_path, "mine.py", CODE) + ":Shuffled"):
        section = parse(SetSection, {"format": name, "file": "d.jsonl", "options": "drawn"}, "made")
        drawn.append(examples(open_set(section, tmp_path, section.options, 3)))
    assert drawn[0] == drawn[1]


def test_the_same_class_each_time(tmp_path):
    spec = own(tmp_path, "mine.py", CODE) + ":Mine"
    assert format_of(spec) is format_of(spec)
