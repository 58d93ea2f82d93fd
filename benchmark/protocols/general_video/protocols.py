"""The benchmarks by name."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from benchmark.protocols.general_video import groups
from benchmark.protocols.general_video.protocol import Protocol, equal, field_of, place
from mmrl.data.formats.tempcompass import KINDS
from mmrl.data.formats.video_holmes import TYPES

VIDEO_R1 = "tulerfeng/Video-R1 src/eval_bench.py 59d65c3"
REPORTED = {  # GRPO-CARE's paper (2506.16141), table 4, 32 frames
    "vsi_bench": (30.1, 35.8, 34.3, 35.8),
    "videommmu": (48.1, 52.3, 51.6, 50.4),
    "mmvu": (60.0, 63.8, 66.2, 65.8),
    "mvbench": (59.0, 63.9, 63.2, 65.1),
    "tempcompass": (72.6, 73.2, 74.3, 73.5),
    "videomme": (56.6, 59.3, 58.1, 59.6),
}
MODELS = ("Qwen2.5-VL-7B", "Video-R1-7B", "CARE-7B, SEED-Bench-R1", "CARE-7B, Video-R1 data")


def reported(name: str) -> Mapping[str, float]:
    """Return rows of the table that the Video-R1-eval files were made for."""
    return dict(zip(MODELS, REPORTED[name], strict=True))


PLAIN: Mapping[str, Protocol] = MappingProxyType(
    {
        "vsi_bench": Protocol(
            "VSI-Bench",
            "vision-x-nyu/thinking-in-space lmms_eval/tasks/vsibench/utils.py 51e089c",
            {"task": partial(field_of, name="original_question_type", groups=groups.VSI_TYPES)},
            groups.VSI_WEIGHTS,
            columns={"official": "Video-R1", "paper": "VSI-Bench", "lenient": "ours"},
            differs="The published average is over tasks; Video-R1's table averages over items. MRA by both rules: < in float32 and <=.",
            published=reported("vsi_bench"),
        ),
        "videommmu": Protocol(
            "VideoMMMU",
            "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/videommmu/utils.py 75571cf",
            {"track": lambda item: place(item, 300, groups.TRACKS), "discipline": groups.mmmu_discipline},
            equal(groups.TRACKS),
            differs="The picture of an Adaptation question is seen only as the last frame of its video. Two questions whose "
            "options are in the picture are asked as letters. Knowledge gain needs the questions without their videos.",
            published=reported("videommmu"),
        ),
        "mmvu": Protocol(
            "MMVU, multiple choice",
            "yale-nlp/MMVU utils/eval_utils.py 4d54223",
            {"discipline": groups.mmvu_discipline},
            differs="The 375 open questions, judged by a language model in the paper, are not asked.",
            published=reported("mmvu"),
        ),
        "mvbench": Protocol(
            "MVBench",
            "OpenGVLab/Ask-Anything video_chat2/mvbench.ipynb 4dd8210",
            {"task": groups.mvbench_task},
            equal(groups.MVBENCH_TASKS),
            differs="As in Video-R1's script videos are not cut to the rows' start and end.",
            published=reported("mvbench"),
        ),
        "tempcompass": Protocol(
            "TempCompass, Video-R1-eval",
            "llyx97/TempCompass questions/*.json e1b4631",
            {"kind": groups.tempcompass_kind},
            order=KINDS,
            differs="All kinds are asked as a choice and scored by letters; nothing is judged by a language model.",
            published=reported("tempcompass"),
        ),
        "tempcompass_questions": Protocol(
            "TempCompass",
            "llyx97/TempCompass eval_*.py e1b4631",
            {"kind": groups.tempcompass_file, "aspect": partial(field_of, name="dim")},
            order=KINDS,
            differs="Captioning is asked as a choice; no language model is asked where the rules read nothing.",
        ),
        "videomme": Protocol(
            "Video-MME, without subtitles",
            "BradyFU/Video-MME README 8889f31",
            {
                "duration": partial(field_of, name="duration", groups={one: one for one in groups.DURATIONS}),
                "domain": partial(field_of, name="domain"),
                "task": partial(field_of, name="task_type"),
            },
            order=groups.DURATIONS,
            published=reported("videomme"),
        ),
        "longvideobench": Protocol(
            "LongVideoBench, validation, without subtitles",
            "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/longvideobench/utils.py 75571cf",
            {
                "duration": partial(field_of, name="duration_group", groups=groups.LONG_DURATIONS),
                "question": partial(field_of, name="question_category"),
            },
            order=tuple(groups.LONG_DURATIONS.values()),
            differs="Frames are chosen up to the last one; the loader's rule never shows the end.",
        ),
        "video_holmes": Protocol(
            "Video-Holmes",
            "TencentARC/Video-Holmes evaluate.py 52ef8da",
            {"type": partial(field_of, name="Question Type")},
            order=TYPES,
            differs="A film that is missing is an error; nothing is asked without its film.",
        ),
        "tvbench": Protocol(
            "TVBench",
            "daniel-cores/tvbench infer.ipynb c354322",
            {"task": groups.tvbench_task},
            differs="No beginning of an answer is put into the model's mouth.",
        ),
        "egoplan_bench2": Protocol(
            "EgoPlan-Bench2",
            "qiulu66/EgoPlan-Bench2 eval.py 2523b38",
            {"domain": partial(field_of, name="domain"), "scenario": partial(field_of, name="scenario")},
        ),
    }
)

WITH_SUBTITLES = {  # the same divisions
    "videomme_subtitles": replace(
        PLAIN["videomme"],
        title="Video-MME, with subtitles",
        differs="A video without subtitles is asked with lmms-eval's words for it.",
        published={},
    ),
    "longvideobench_subtitles": replace(
        PLAIN["longvideobench"], title="LongVideoBench, validation, frames and subtitles interleaved"
    ),
}
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({**PLAIN, **WITH_SUBTITLES})
