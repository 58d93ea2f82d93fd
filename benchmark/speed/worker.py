"""One contender in a process of its own: ``python -m benchmark.speed.worker JOB.json`` writes what it measured."""

import json
import os
import sys
import warnings
from importlib import import_module
from pathlib import Path

CONTENDERS = {"mmrl": "ours", "plain": "plain", "trl": "with_trl", "floor": "floor"}


def main(job: Path) -> None:
    """Measure what the job says."""
    asked = json.loads(job.read_text())
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from transformers.utils.logging import disable_progress_bar

    from benchmark.speed.case import Case
    from benchmark.speed.clock import surroundings
    from benchmark.speed.model import make_root
    from mmrl.runtime.files import write_json

    disable_progress_bar()
    torch.set_num_threads(asked["threads"])
    case, folder, repetitions = Case(**asked["case"]), Path(asked["folder"]), asked["repetitions"]
    root = make_root(folder / "root", case, 1 + repetitions)
    contender = import_module(f"benchmark.speed.{CONTENDERS[asked['contender']]}")
    torch.manual_seed(0)
    before = os.getloadavg()[0]
    found = contender.measure(case, root, folder / asked["contender"], repetitions)
    around = surroundings() | {"load_average": [round(before, 2), round(os.getloadavg()[0], 2)]}
    write_json(Path(asked["out"]), found | around)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(Path(sys.argv[1]))
