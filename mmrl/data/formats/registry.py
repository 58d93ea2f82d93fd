"""The formats of annotation files by the name that a config gives."""

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
