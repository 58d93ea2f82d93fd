"""The gates of the benchmark that need no pixel: fields, balance, splits that share nothing, words, prompts."""

import json
from collections import Counter
from pathlib import Path

import pytest

from mmrl.data import prompts
from mmrl.data.formats.seed_bench_r1 import SeedBenchR1
from mmrl.runtime.files import write_whole
from mmrl.runtime.json_lines import line_of
from mmrl.types import Example
from mmrl.world.annotate import MEMBERS, choices
from mmrl.world.axes import AXES, TEST, TRAIN
from mmrl.world.build import media
from mmrl.world.cues import Cues
from mmrl.world.files import manifest
from mmrl.world.grammar import TIMES, grammar_words, oracle_completion
from mmrl.world.judge import judge
from mmrl.world.octet import LETTERS
from mmrl.world.render import SMALL, Dial
from mmrl.world.script import FAMILIES, STATIONS, events_of
from mmrl.world.splits import FULL, PRESETS, SMOKE, Recipe, Sizes, annotated

SIZES = Sizes(
    train=96, sft=6, val=6, L1=12, L2=12, L3=12, paired=2,
    nat_train=144, nat_val=4, nat_L1=24, nat_L2=24, nat_L3=48,
)  # fmt: skip
SEED_BENCH_R1 = {
    "sample_id", "video_source", "video_id", "task_goal", "question", "answer", "task_progress_metadata",
    "current_observation_frame", "video_basename", "current_observation_basename",
}  # fmt: skip
VALIDATION = {"choice_a", "choice_b", "choice_c", "choice_d", "golden_choice_idx", "task_level"}
OURS = {
    "group_id", "family", "stratum", "mats", "third", "factors", "env_axes", "cue", "script", "state", "oracle_think",
    "n_events", "sha256",
}  # fmt: skip
PINNED = "c211ce4a705beae9478fb18ac2ba0e8b4c4e42ed6e90cdba3de4cf868fba600f"  # scripts of the smoke set, seed 0: if they
# change, splits.GENERATOR needs a new name
PUNCTUATION = str.maketrans("", "", ".,:?")


@pytest.fixture(scope="module")
def files() -> dict:
    return annotated(Recipe(SIZES, 0, SMALL))


@pytest.fixture(scope="module")
def rows(files) -> dict[str, list[dict]]:
    return {name: [item.row for group in groups for item in group] for name, groups in files.items()}


def main(rows) -> dict[str, list[dict]]:
    """Without the files that repeat items of others."""
    return {name: several for name, several in rows.items() if not name.startswith("validation_L2_") or "nat" in name}


def test_fields_are_seed_bench_r1s_and_ours(rows):
    for name, several in rows.items():
        expected = SEED_BENCH_R1 | OURS
        expected |= {"negative_answers"} if name.startswith("training") else VALIDATION
        expected |= {"domain", "scenario"} if name.startswith("validation_L3") else set()
        expected |= {"plan"} if name.endswith("_nat") else set()
        assert all(set(row) == expected for row in several), name


def test_a_cue_adds_an_order_to_training_rows():
    files = annotated(Recipe(Sizes(train=1), 0, SMALL, Cues.planted()))
    for item in files["training"][0]:
        assert set(item.row) == SEED_BENCH_R1 | OURS | (VALIDATION - {"task_level"}) | {"negative_answers"}
        assert item.row[f"choice_{item.row['golden_choice_idx'].lower()}"] == item.row["answer"]


def test_progress_is_as_seed_bench_r1_tells_it(rows):
    for several in rows.values():
        for row in several:
            told = row["task_progress_metadata"]
            assert bool(told) == bool(row["video_basename"])
            assert all(set(each) == {"narration_text", "start_frame", "stop_frame"} for each in told)
            assert len(told) == row["n_events"]
            assert [each["start_frame"] for each in told[:-1]] == [each["start_frame"] for each in row["script"]]
    assert any(not row["video_basename"] for row in rows["training_nat"])


def test_frames_follow_the_dial():
    files = annotated(Recipe(Sizes(L1=1), 0, Dial(128, 8, 8)))
    row = files["validation_L1"][0][0].row
    assert row["current_observation_frame"] == 63
    assert row["task_progress_metadata"][-1]["start_frame"] == 56
    assert all(each["start_frame"] == 8 * each["slot"] == each["stop_frame"] - 7 for each in row["script"])


def test_letters_are_balanced_and_every_option_of_an_octet_is_right_twice(files):
    for name, groups in files.items():
        if name.endswith("_nat") or name.startswith("training"):
            continue
        letters = Counter(item.row["golden_choice_idx"] for group in groups for item in group)
        assert set(letters.values()) == {2 * len(groups)}
        for group in groups:
            assert set(Counter(item.row["answer"] for item in group).values()) == {2}
            assert len({choices(item.row) for item in group}) == 1
    for groups in (files["training"], files["training_sft"]):
        for group in groups:
            assert Counter(item.row["answer"] for item in group) == dict.fromkeys(set(choices(group[0].row)), 2)
    for name in ("validation_L1_nat", "validation_L2_nat", "validation_L3_nat"):
        assert set(Counter(group[0].row["golden_choice_idx"] for group in files[name]).values()) == {
            len(files[name]) / 4
        }


def test_an_octet_has_four_clips_and_two_observations(files):
    for name, groups in files.items():
        if not name.endswith("_nat"):
            for group in groups:
                assert len({item.clip.name for item in group}) == 4
                assert len({item.picture.name for item in group}) == 2
                assert len({item.clip.environment for item in group}) == 1


def test_no_family_script_and_goal_is_in_two_splits_or_twice_in_one(rows):
    keys: dict[tuple, tuple] = {}
    for name, several in main(rows).items():
        for row in several:
            key = (row["family"], row["task_goal"], json.dumps([sorted(each.items()) for each in row["script"]]))
            owner = (name, row["group_id"], row["video_id"])
            assert keys.setdefault(key, owner) == owner


def test_the_right_answer_follows_from_state_and_plan(rows):
    for several in rows.values():
        for row in several:
            shown = choices(row)
            verdict = judge(oracle_completion(row, shown), row | {"choices": shown})
            assert verdict.broken is None, row["sample_id"]
            assert verdict.correct
            assert verdict.coverage == 1


def spoken(row: dict) -> set[str]:
    """All words of a row that a model reads or writes."""
    text = " ".join([row["question"], *choices(row), row["oracle_think"]])
    return set(text.translate(PUNCTUATION).split())


def test_the_held_out_level_needs_no_word_that_training_lacks(rows):
    trained = set().union(*(spoken(row) for row in rows["training"]))
    held_out = set().union(*(spoken(row) for row in rows["validation_L3"]))
    assert held_out <= trained | {word for row in rows["training_nat"] for word in spoken(row)}
    assert {"take", "drop", "close", "pour", "open"} <= held_out
    natural = set().union(*(spoken(row) for row in rows["validation_L3_nat"]))
    assert natural <= trained.union(*(spoken(row) for row in rows["training_nat"]))
    assert natural | held_out | trained <= set(grammar_words())


@pytest.mark.parametrize("template", [name for name in prompts.TEMPLATES if name != "none"])
def test_narrations_never_reach_a_prompt(rows, template):
    for several in rows.values():
        for row in several[:40]:
            example = Example(id="1", question=row["question"], answer="A", choices=choices(row))
            shown = prompts.text(example, template)
            assert not any(told["narration_text"] in shown for told in row["task_progress_metadata"])
            assert row["oracle_think"] not in shown


@pytest.fixture
def written(rows, files, tmp_path) -> Path:
    """The annotation files, and empty media where rows name some: reading them decodes nothing."""
    for name, several in rows.items():
        write_whole(tmp_path / "annotations" / f"{name}.jsonl", "".join(map(line_of, several)))
    for folder in ("videos", "images"):
        (tmp_path / folder / "Synth").mkdir(parents=True)
    for group in media(files):
        for each in group:
            (tmp_path / each.path).touch()
    return tmp_path


def test_seed_bench_r1s_reader_reads_every_file(written, rows):
    for name, several in rows.items():
        options = "drawn" if name.startswith("training") else "file"
        read = SeedBenchR1(f"annotations/{name}.jsonl", options=options).open(written)
        assert len(read) == len(several)
        for index, row in enumerate(several):
            example = read.example(index, 0)
            assert [medium.kind for medium in example.media] == (["video"] if row["video_basename"] else []) + ["image"]
            assert all((written / medium.path).is_file() for medium in example.media)
            assert example.choices[LETTERS.index(example.answer)] == row["answer"]
            assert example.cluster == row["group_id"]
            assert set(example.choices) == set(choices(row))


def test_more_to_train_on_changes_no_other_split_and_comes_behind():
    small = annotated(Recipe(Sizes(train=6, L1=2, L3=2, nat_train=8, nat_L1=4), 5, SMALL))
    large = annotated(Recipe(Sizes(train=18, L1=2, L3=2, nat_train=40, nat_L1=4), 5, SMALL))
    assert all(large[name][: len(groups)] == groups for name, groups in small.items())
    assert len(large["training"]) == 18


def test_rows_are_the_same_every_time_and_differ_between_seeds():
    recipe = Recipe(SMOKE, 0)
    assert annotated(recipe) == annotated(recipe)
    digests = {digest_of(annotated(Recipe(SMOKE, seed))) for seed in (0, 1)}
    assert len(digests) == 2
    assert digest_of(annotated(recipe)) == PINNED


def digest_of(files: dict) -> str:
    rows = {name: [item.row for group in groups for item in group] for name, groups in files.items()}
    return manifest({}, rows, {})["scripts"]


def test_only_the_second_and_third_level_look_different_and_only_as_asked():
    files = annotated(Recipe(Sizes(train=4, val=1, L1=4, L2=4, L3=4, nat_L2=4), 0, SMALL, axes=("texture", "palette")))
    for name, groups in files.items():
        test = {"palette", "texture"} if name.startswith(("validation_L2", "validation_L3")) else set()
        for item in (item for group in groups for item in group):
            told = item.row["env_axes"]
            assert told["test"] == sorted(test)
            assert all(told[axis] in (TEST if axis in test else TRAIN)[axis] for axis in AXES)


def test_paired_copies_of_l2_differ_in_one_axis_from_the_base(rows):
    base = rows["validation_L2_none"]
    assert [row["sample_id"] for row in base] == [row["sample_id"] for row in rows["validation_L2"][: len(base)]]
    for axis in AXES:
        copies = rows[f"validation_L2_{axis}"]
        for one, other in zip(base, copies, strict=True):
            changed = {name for name in one if one[name] != other[name]}
            assert changed == {"env_axes", "video_basename", "current_observation_basename"}
            looks = {name for name in one["env_axes"] if one["env_axes"][name] != other["env_axes"][name]}
            assert looks == {axis, "test"}
            assert one["env_axes"]["test"] == []


def test_the_released_sizes():
    # 19 octets a paired copy, the least that makes 150 items
    sizes, dial = PRESETS["full"]
    assert (sizes, dial) == (FULL, Dial())
    assert 8 * sizes.train == 6000
    assert 8 * sizes.sft == 2000
    assert 8 * sizes.val == 240
    assert 8 * sizes.L1 == 8 * sizes.L2 == 8 * sizes.L3 == 1200
    assert 8 * sizes.paired == 152
    assert (sizes.nat_train, sizes.nat_val, sizes.nat_L1, sizes.nat_L2, sizes.nat_L3) == (2000, 80, 400, 400, 400)
    several = annotated(Recipe(SMOKE, 0))
    items = Counter(item.row["stratum"] for groups in several.values() for group in groups for item in group)
    assert items == {"octet": 48, "nat": 16}
    assert Recipe(SMOKE, 0).groups == sum(map(len, several.values()))


def test_resized_presets_keep_their_shape():
    changed = FULL.resized(train=10, level=5, nat=8)
    assert (changed.train, changed.L1, changed.L2, changed.L3, changed.paired, changed.val) == (10, 5, 5, 5, 5, 30)
    assert (changed.nat_train, changed.nat_val, changed.nat_L3) == (40, 1, 8)
    assert FULL.resized() == FULL


def test_a_choice_of_families_leaves_their_octets_as_they_are(rows):
    files = annotated(Recipe(Sizes(L1=4, L3=2), 0, SMALL, families=("STACK", "COUNT", "KEY")))
    some = [group[0].row for group in files["validation_L1"]]
    assert {row["family"] for row in some} == {"STACK", "COUNT"}
    assert {group[0].row["family"] for group in files["validation_L3"]} == {"KEY"}
    by_group = {row["group_id"]: row for row in rows["validation_L1"]}
    assert all(by_group[row["group_id"]]["task_goal"] == row["task_goal"] for row in some)


def test_state_and_events_are_those_of_the_script(rows):
    for row in rows["validation_L3"]:
        bits = (row["factors"]["bit_left"], row["factors"]["bit_right"])
        assert MEMBERS[int(row["sample_id"].rsplit("-", 1)[1])] == (bits, row["state"]["lamp"])
        assert len(events_of(row)) == row["n_events"] - 1 == 2 * FAMILIES[row["family"]].events + 1
        assert set(row["state"]) == {"lamp", *STATIONS}
        assert all(TIMES[event.slot] in row["oracle_think"] for event in events_of(row))
