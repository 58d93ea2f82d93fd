"""SEED-Bench-R1 end to end on the toy world's files, and what is refused."""

import json
import shutil
import sys
from dataclasses import replace

import pytest

from benchmark import cli
from benchmark.protocols.seed_bench_r1 import protocol
from benchmark.protocols.seed_bench_r1.page import domains, ours, theirs
from benchmark.protocols.seed_bench_r1.published import CARE, PUBLISHED
from mmrl.config.schema import ConfigError
from mmrl.evaluation import Record, read_items, read_records, summarise
from mmrl.evaluation.records import item_of
from mmrl.evaluation.store import write_lines
from mmrl.types import Example
from mmrl.world import BASE
from mmrl.world.build import render
from mmrl.world.render import SMALL
from mmrl.world.splits import Recipe, Sizes

TOY = (
    "evaluation.template=toy", "evaluation.frames={count: 16}", "evaluation.decoding.max_new_tokens=8",
    "evaluation.workers=0", "evaluation.batch_size=8", "model.video_pixels=null", "model.image_pixels=null",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "world"
    render(out, Recipe(Sizes(L1=1, L2=1, L3=1), 0, SMALL))
    return out


@pytest.fixture
def bench(monkeypatch, capsys):
    def run(*told: str):
        monkeypatch.setattr(sys, "argv", ["benchmark", "seed_bench_r1", *told])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return run


@pytest.mark.timeout(300)
def test_the_three_levels_of_the_toy_world(bench, data, tmp_path):
    told = ("--model", str(BASE), "--data", str(data), "--out", str(tmp_path / "out"), *TOY)
    status, out, err = bench(*told, "--condition", "blind")
    assert status == 0, err
    found = json.loads((tmp_path / "out" / "seed_bench_r1.json").read_text())
    assert {name: (level["expected"], level["n"]) for name, level in found["levels"].items()} == {
        "L1": (8, 8), "L2": (8, 8), "L3": (8, 8),
    }  # fmt: skip
    assert set(found["levels"]["L1"]["metrics"]) >= {"accuracy", "official", "lenient", "consistency", "concludes"}
    assert found["partial"] is False
    assert found["L3_domains"]
    for shown in (
        "CAC (rules)",
        "coverage",
        "consistency (GPT-4.1)",
        "no row of a paper is about them",
        "82.4",
        "visual gain",
    ):
        assert shown in out
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["expected"] == {
        "L1": 8,
        "L2": 8,
        "L3": 8,
        "conditions/blind/L1": 8,
        "conditions/blind/L2": 8,
        "conditions/blind/L3": 8,
    }
    assert run["finished"]
    before = (tmp_path / "out" / "L3" / "samples.jsonl").read_bytes()
    again, *_ = bench(*told)
    assert again == 0
    assert (tmp_path / "out" / "L3" / "samples.jsonl").read_bytes() == before
    assert {item.fields["domain"] for item in read_items(tmp_path / "out" / "L3").values()} <= set(found["L3_domains"])
    assert len(read_records(tmp_path / "out" / "L2")) == 8


def short(data, tmp_path):
    """The same data with a cut file."""
    root = tmp_path / "short"
    shutil.copytree(data, root)
    path = root / "annotations" / "validation_L2.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    return root


def test_fewer_questions_than_there_must_be_are_refused(bench, data, tmp_path):
    root = short(data, tmp_path)
    status, _, err = bench("--model", str(BASE), "--data", str(root), "--out", str(tmp_path / "out"), *TOY)
    assert status == 2
    assert "L2: expected 8 questions, found 5" in err
    assert "--partial N" in err
    assert not (tmp_path / "out").exists()


def test_without_a_manifest_the_release_counts(bench, data, tmp_path):
    root = tmp_path / "real"
    shutil.copytree(data, root)
    (root / "manifest.json").unlink()
    status, _, err = bench("--model", str(BASE), "--data", str(root), "--out", str(tmp_path / "out"), *TOY)
    assert status == 2
    for level, count in (("L1", "2,432"), ("L2", "923"), ("L3", "1,321")):
        assert f"{level}: expected {count} questions, found 8" in err


def test_a_partial_look_says_so_everywhere(bench, data, tmp_path):
    status, out, _ = bench(
        "--model", str(BASE), "--data", str(data), "--out", str(tmp_path / "out"), "--partial", "2", *TOY
    )
    assert status == 1
    assert out.count("PARTIAL: the first 2 of each level") >= 4
    assert json.loads((tmp_path / "out.partial" / "seed_bench_r1.json").read_text())["partial"] is True


def test_the_data_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="--data: expected a directory with annotations"):
        protocol.configured("m", tmp_path / "nowhere", tmp_path, None, ())


def test_the_release_has_4676_questions():
    assert sum(protocol.RELEASED.values()) == 2432 + 923 + 1321 == 4676
    assert protocol.RELEASED["L1"] + protocol.RELEASED["L2"] == 3355  # EgoPlan-Val


SIZES = (439, 295, 183, 404)  # questions of L3 by domain, as 2503.24376 counts them


@pytest.mark.parametrize("paper", PUBLISHED)
def test_the_papers_domains_make_up_their_level(paper):
    """Each line's L3 is the mean of its domains over questions, but for what was rounded; one is misprinted by 0.1."""
    assert sum(SIZES) == protocol.RELEASED["L3"]
    for row in PUBLISHED[paper]:
        if row.domains is not None:
            mean = sum(size * share for size, share in zip(SIZES, row.domains, strict=True)) / sum(SIZES)
            assert mean == pytest.approx(row.L3, abs=0.051), row.name


def test_the_papers_rows_stand_under_their_columns_and_differ_by_what_the_abstract_says():
    header, lines = theirs(PUBLISHED[CARE])
    rows = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    assert rows["GRPO-CARE"] == {
        "": "GRPO-CARE", "consistency (GPT-4.1)": "82.4", "L1": "57", "L2": "57", "L3": "53.4",
        "L3 daily life": "57.6", "L3 hobbies": "51.2", "L3 recreation": "57.4", "L3 work": "48.5",
    }  # fmt: skip
    assert rows["KL-EMA"]["L3 work"] == "–"
    gain = {
        name: float(rows["GRPO-CARE"][name]) - float(rows["GRPO"][name]) for name in ("L3", "consistency (GPT-4.1)")
    }
    assert gain == pytest.approx({"L3": 6.7, "consistency (GPT-4.1)": 24.5})


def test_domains_are_the_papers_first_and_all_questions_are_in_one(tmp_path):
    names = ("Work", "Hobbies", "Recreation", "Daily life", "Recreation")
    examples = [Example(str(n), "?", fields={"domain": name}) for n, name in enumerate(names)]
    write_lines(tmp_path / "items.jsonl", map(item_of, examples))
    base = Record("0", 0, "0", "", "ok", None, 1, True, {}, {"accuracy": 0.0, "lenient": 1.0})
    records = [
        replace(base, item=str(n), cluster=str(n), scores=base.scores | {"accuracy": float(n == 2)}) for n in range(5)
    ]
    summary = summarise("L3", records, 5)
    parts = domains(summary, tmp_path)
    assert list(parts) == ["Daily life", "Hobbies", "Recreation", "Work"]
    assert [parts[name]["accuracy"].mean for name in parts] == [0.0, 0.0, 0.5, 0.0]
    header, lines = ours({"L3": summary}, parts, "model", "")
    assert header[3:] == ["L1", "L2", "L3", "L3 Daily life", "L3 Hobbies", "L3 Recreation", "L3 Work"]
    assert lines[0][0] == "model, strict"
    assert lines[0][3:5] == ["–", "–"]
    assert lines[0][5].startswith("20.0 [")
