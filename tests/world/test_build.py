"""The rendered directory: layout, fields, idempotence; demonstrations; what may never reach a prompt."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from mmrl.world.annotate import rows
from mmrl.world.build import Cues, Sizes, all_octets, render
from mmrl.world.demos import Demonstrations, demonstrate, drills
from mmrl.world.grammar import SPECIAL, TAGS, completion, prompt_text, words
from mmrl.world.judge import judge
from mmrl.world.render import digest
from mmrl.world.script import LETTERS, needed

SIZES = Sizes(train=3, L1=1, L2=1, L3=1)
FIELDS = {
    "sample_id", "video_source", "video_id", "task_goal", "question", "answer", "task_progress_metadata",
    "current_observation_frame", "video_basename", "current_observation_basename",
}  # fmt: skip
OURS = {
    "group_id", "family", "stratum", "factors", "env_axes", "cue", "script", "state",
    "oracle_think", "n_events", "sha256",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return render(tmp_path_factory.mktemp("world") / "bench", SIZES, seed=0)


def read(root: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (root / "annotations" / f"{name}.jsonl").read_text().splitlines()]


def test_layout_and_fields_are_seed_bench_r1s(root):
    expected = {"training": 24, "validation_L1": 8, "validation_L2": 8, "validation_L3": 8}
    for name, count in expected.items():
        several = read(root, name)
        assert len(several) == count
        for row in several:
            assert set(row) >= FIELDS | OURS
            assert (root / "videos" / row["video_source"] / row["video_basename"]).is_file()
            assert (root / "images" / row["video_source"] / row["current_observation_basename"]).is_file()
            assert row["video_source"] == "Synth"
            assert all(
                set(told) == {"narration_text", "start_frame", "stop_frame"} for told in row["task_progress_metadata"]
            )
            if name == "training":
                assert len({row["answer"], *row["negative_answers"]}) == 4
                assert "golden_choice_idx" not in row
            else:
                assert row[f"choice_{row['golden_choice_idx'].lower()}"] == row["answer"]
                assert ("domain" in row and "scenario" in row) == (name == "validation_L3")


def test_four_videos_and_two_observations_an_octet(root):
    assert len(list((root / "videos" / "Synth").iterdir())) == 4 * 6
    assert len(list((root / "images" / "Synth").iterdir())) == 2 * 6
    manifest = json.loads((root / "manifest.json").read_text())
    for name, expected in manifest["clips"].items():
        assert digest(root / "videos" / "Synth" / name) == expected


def test_a_second_rendering_returns_at_once_and_another_key_is_refused(root):
    before = (root / "manifest.json").stat().st_mtime_ns
    assert render(root, SIZES, seed=0) == root
    assert (root / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="elsewhere"):
        render(root, SIZES, seed=1)


def test_files_of_others_are_never_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="other files"):
        render(tmp_path, SIZES, seed=0)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_interrupted_rendering_goes_on_and_ends_the_same(root, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise Stopped

    out = tmp_path / "bench"
    with pytest.raises(Stopped):
        render(out, SIZES, seed=0, progress=stop)
    assert not out.exists()
    half = next((tmp_path / ".bench.rendering" / "videos" / "Synth").iterdir())
    (half.parent / f".1.{half.name}").write_bytes(b"half a file")
    told = []
    render(out, SIZES, seed=0, progress=lambda *done: told.append(done), workers=2)
    assert told == [(i, 6) for i in range(1, 7)]
    assert not list(tmp_path.glob(".bench*"))
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        assert (out / path.relative_to(root)).read_bytes() == path.read_bytes()
    assert sum(path.is_file() for path in out.rglob("*")) == sum(path.is_file() for path in root.rglob("*"))


def test_narrations_never_reach_a_prompt(root):
    for name in ("training", "validation_L1", "validation_L2", "validation_L3"):
        for row in read(root, name):
            shown = prompt_text(row, ["x"] * 4) + " ".join([row["answer"], *row.get("negative_answers", [])])
            assert not any(told["narration_text"] in shown for told in row["task_progress_metadata"])
    told = {t["narration_text"] for row in read(root, "training") for t in row["task_progress_metadata"]}
    for row in read(root, "training_with_cot"):
        assert not any(text in json.dumps(row) for text in told)


def test_clean_demonstrations_are_flawless_whatever_the_order(root):
    by_id = {row["sample_id"]: row for row in read(root, "training")}
    several = list(demonstrate(list(by_id.values()), Demonstrations(copies=6), seed=0))
    assert len({row["sample_id"] for row in several}) == 6 * 24
    assert set(Counter(row["source_id"] for row in several).values()) == {6}
    assert len({tuple(row["choices"]) for row in several if row["source_id"] == "train-00000-0"}) > 1
    for row in several:
        verdict = judge(row["response"], by_id[row["source_id"]] | {"choices": row["choices"]})
        assert verdict.broken is None
        video, image, text = row["prompt"][0]["content"]
        assert (video["type"], image["type"], text["type"]) == ("video", "image", "text")
        assert (video["video"].split("/")[0], image["image"].split("/")[0]) == ("videos", "images")
        assert text["text"] == prompt_text(by_id[row["source_id"]], row["choices"])


def test_noise_follows_what_it_says_and_unfaithful_answers_do_not(root):
    by_id = {row["sample_id"]: row for row in read(root, "training")}
    several = list(demonstrate(list(by_id.values()), Demonstrations(copies=20, noise=0.3, unfaithful=0.2), seed=0))
    for row in several:
        verdict = judge(row["response"], by_id[row["source_id"]] | {"choices": row["choices"]})
        assert verdict.consistent != row["unfaithful"]
        assert verdict.deduction
        assert verdict.hidden_entailed
        assert verdict.hidden_true != row["noisy"]
    for name, share in (("noisy", 0.3), ("unfaithful", 0.2)):
        found = sum(row[name] for row in several) / len(several)
        assert abs(found - share) < 4 * (share * (1 - share) / len(several)) ** 0.5


def test_a_cue_points_to_gold_as_often_as_asked_and_fixes_the_order(tmp_path):
    sizes = Sizes(train=30, L1=30, L2=1, L3=1)
    root = render(tmp_path / "cued", sizes, seed=0, cue_strength=Cues(train=0.8, L1=1.0))
    cued = read(root, "training")
    share = sum(row["cue"]["points_to"] == row["golden_choice_idx"] for row in cued) / len(cued)
    assert abs(share - 0.8) < 0.11  # 4 standard errors of 240
    assert all(row["cue"]["points_to"] == row["golden_choice_idx"] for row in read(root, "validation_L1"))
    assert all(row["cue"]["points_to"] is None for row in read(root, "validation_L2"))
    by_id = {row["sample_id"]: row for row in cued}
    for row in read(root, "training_with_cot"):
        assert row["choices"] == [by_id[row["source_id"]][f"choice_{letter.lower()}"] for letter in LETTERS]


def plain_rows(octet) -> list[dict]:
    return list(rows(octet, [None] * 8, None))


def spoken(row: dict) -> list[str]:
    return f"{row['question']} {row['oracle_think']} {row['answer']}".split()


def test_the_held_out_level_needs_no_new_word():
    octets = list(all_octets(Sizes(train=60, L1=0, L2=0, L3=30), seed=0))
    trained, held_out = (
        {word for octet in octets if octet.split == split for row in plain_rows(octet) for word in spoken(row)}
        for split in ("train", "L3")
    )
    assert held_out <= trained
    assert {"put", "take"} <= held_out


def test_every_word_of_ours_is_in_the_lexicon(root):
    lexicon = set(words()) | set(TAGS) | set(SPECIAL)
    for row in read(root, "training_with_cot"):
        assert set(f"{row['prompt'][0]['content'][2]['text']} {row['response']}".split()) <= lexicon
    for row in drills(50, seed=0):
        assert set(f"{row['messages'][0]['content']} {row['messages'][1]['content']}".split()) <= lexicon
    assert set(completion("so", "A", "B").split()) <= lexicon


def test_drills_are_right_and_ask_with_replacement():
    several = [[message["content"] for message in row["messages"]] for row in drills(300, seed=1)]
    kinds = Counter()
    repeated = 0
    for asked, told in several:
        letters = dict(line.split()[::-1] for line in asked.split("\n")[1:5])
        said = [clause.split()[1:] for clause in told.replace("</think>", ".").split(" . ") if clause.startswith("so ")]
        assert said
        assert all(letters[option] == letter for option, letter in said)
        kind = "recollection" if "<answer>" in told else "deductions" if "needs" in told else "look-ups"
        kinds[kind] += 1
        repeated += kind == "look-ups" and len({option for option, _ in said}) < 4
        for clause, after in pairwise(told.split(" . ")):
            if " holds " in clause:
                place, _, *held = clause.split()
                goal = asked.split("\n")[0].removeprefix("what next for ").removesuffix(" ?")
                assert after == f"{place} needs {needed(goal, held)}"
    assert set(kinds) == {"recollection", "deductions", "look-ups"}
    assert repeated > 0  # each option once each would be solved by exclusion
    assert len({tuple(row) for row in several}) == len(several)
