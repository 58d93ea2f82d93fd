"""How benchmarks divide their items."""

from pathlib import PurePosixPath

from benchmark.protocols.general_video.protocol import place
from mmrl.data.formats.tempcompass import KINDS, YES_NO
from mmrl.evaluation import Item

DIRECTIONS = ("object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard")
VSI_TASKS = (
    "object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation", "object_rel_distance",
    "route_planning", "obj_appearance_order",
)  # fmt: skip
VSI_TYPES = {name: name for name in (*VSI_TASKS, *DIRECTIONS)}
VSI_WEIGHTS = {name: 1 / 8 for name in VSI_TASKS} | {name: 1 / 24 for name in DIRECTIONS}  # three make one task

TRACKS = (
    "adaptation",
    "comprehension",
    "perception",
)  # ids 1-300, 301-600, 601-900; checked against the benchmark's files
MMMU = {
    "art": "Art Art_Theory Design Music",
    "business": "Accounting Economics Finance Manage Marketing",
    "science": "Biology Chemistry Geography Math Physics",
    "medicine": "Basic_Medical_Science Clinical_Medicine Diagnostics_and_Laboratory_Medicine Pharmacy Public_Health",
    "humanities": "History Literature Sociology Psychology",
    "engineering": "Agriculture Architecture_and_Engineering Computer_Science Electronics Energy_and_Power Materials "
    "Mechanical_Engineering",
}
MMVU = {  # of lmms-eval's mmvu/utils.py, after the paper
    "science": "Biology Chemistry Modern_Physics Astronomy Geography Materials_Science Neurobiology Electromagnetism "
    "Thermodynamics Mechanics",
    "engineering": "Civil_Engineering Electrical_Engineering Mechanical_Engineering Biomedical_Engineering "
    "Electronics_and_Communication Computer_Science",
    "healthcare": "Clinical_Medicine Basic_Medicine Preventive_Medicine Pharmacy Dentistry",
    "humanities": "Art Literature History Law Economics Management",
}
MVBENCH = {  # task: the folder of its videos; blocks of 200 ids in this order
    "action_antonym": "ssv2_video", "action_count": "perception", "action_localization": "sta",
    "action_prediction": "star", "action_sequence": "star", "character_order": "perception",
    "counterfactual_inference": "clevrer", "egocentric_navigation": "vlnqa", "episodic_reasoning": "tvqa",
    "fine_grained_action": "Moments_in_Time_Raw", "fine_grained_pose": "nturgbd", "moving_attribute": "clevrer",
    "moving_count": "clevrer", "moving_direction": "clevrer", "object_existence": "clevrer", "object_interaction": "star",
    "object_shuffle": "perception", "scene_transition": "scene_qa", "state_change": "perception",
    "unexpected_action": "FunQA_test",
}  # fmt: skip
MVBENCH_TASKS = tuple(MVBENCH)
DURATIONS = ("short", "medium", "long")
LONG_DURATIONS = {"15": "8-15 s", "60": "15-60 s", "600": "180-600 s", "3600": "900-3600 s"}


def path_of(item: Item) -> PurePosixPath:
    """Return the path of the item's video."""
    return PurePosixPath(item.media[0].path)


def among(item: Item, subject: str, disciplines: dict[str, str]) -> str:
    """Return the discipline of a subject."""
    for name, subjects in disciplines.items():
        if subject in subjects.split():
            return name
    raise ValueError(f"item {item.id}: expected a subject of {', '.join(disciplines)}, found {subject}")


def mmmu_discipline(item: Item) -> str:
    """Return the discipline of ``validation_Clinical_Medicine_4.mp4``."""
    return among(item, path_of(item).stem.partition("_")[2].rpartition("_")[0], MMMU)


def mmvu_discipline(item: Item) -> str:
    """Return the discipline of ``videos/Computer_Science/7.mp4``."""
    return among(item, path_of(item).parent.name, MMVU)


def mvbench_task(item: Item) -> str:
    """Return the task, which the rows do not name: by the id; the folder must be that of the task."""
    task = place(item, 200, MVBENCH_TASKS)
    if MVBENCH[task] not in path_of(item).parts:
        raise ValueError(f"item {item.id}: expected a video of {task} in {MVBENCH[task]}, found {path_of(item)}")
    return task


def tempcompass_file(item: Item) -> str:
    """Return the kind, which is the file's name and the beginning of the id."""
    return item.id.rpartition("-")[0]


def tempcompass_kind(item: Item) -> str:
    """Return the kind, which the rows do not name: by the wordings that each kind's questions share."""
    asked = item.question.lower()
    if tuple(choice.lower().rstrip(".") for choice in item.choices) in (YES_NO, YES_NO[::-1]):
        return KINDS[1]
    if "information" in asked and "caption" in asked:
        return KINDS[3]
    matching = ("matches the video", "match for the video", "captures the essence of the video")
    return KINDS[2] if any(words in asked for words in matching) else KINDS[0]


def tvbench_task(item: Item) -> str:
    """Return the task, which is the file's name and the beginning of the id."""
    return item.id.rpartition("-")[0]
