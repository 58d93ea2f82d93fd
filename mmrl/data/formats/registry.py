"""The formats of annotation files by their names in a config; a user's format is path.py:Class."""

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.egoplan_bench2 import EgoPlanBench2
from mmrl.data.formats.longvideobench import LongVideoBench
from mmrl.data.formats.messages import Messages
from mmrl.data.formats.seed_bench_r1 import SeedBenchR1, SeedBenchR1Demonstrations
from mmrl.data.formats.tempcompass import TempCompass
from mmrl.data.formats.tvbench import TVBench
from mmrl.data.formats.video_holmes import VideoHolmes
from mmrl.data.formats.video_r1 import VideoR1
from mmrl.data.formats.video_r1_eval import VideoR1Eval
from mmrl.runtime.choices import OR_YOUR_OWN, required, user_class
from mmrl.runtime.user_code import UserCodeError, is_spec

FORMATS: dict[str, type[Annotations]] = {
    "seed_bench_r1": SeedBenchR1,
    "seed_bench_r1_demonstrations": SeedBenchR1Demonstrations,
    "video_r1": VideoR1,
    "messages": Messages,
    "video_r1_eval": VideoR1Eval,
    "tempcompass": TempCompass,
    "longvideobench": LongVideoBench,
    "video_holmes": VideoHolmes,
    "tvbench": TVBench,
    "egoplan_bench2": EgoPlanBench2,
}


def format_of(name: str) -> type[Annotations]:
    """Return the format of a name, or of path.py:Class. Raises ValueError if there is no such format."""
    if name in FORMATS:
        return FORMATS[name]
    if not is_spec(name):
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, {OR_YOUR_OWN}; found {name!r}")
    kind = user_class(name, Annotations, "format")
    if more := [field for field in required(kind) if field != "annotations"]:
        raise UserCodeError(f"format {name!r}: expected a default for each field, found none for {', '.join(more)}")
    return kind


def known_format(name: str) -> str:
    """Return the name of a format. Raises ValueError if there is no such format."""
    format_of(name)
    return name
