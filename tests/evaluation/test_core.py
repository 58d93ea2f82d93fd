"""The core of evaluation reads, scores, compares and summarises records where neither torch nor transformers is installed."""

import subprocess
import sys

from tests.evaluation.factories import run
from tests.test_arrows import INNER

WITHOUT = """
import sys


class NotInstalled:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "torchvision", "transformers", "accelerate"):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, NotInstalled())
"""


def without_torch(code):
    """What some code prints in a process that has no torch."""
    return subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=True).stdout


def test_every_module_of_the_core_is_importable_without_torch():
    names = ["mmrl.evaluation", *(f"mmrl.evaluation.{name}" for name in INNER["evaluation/core"] if name != "__init__")]
    lines = "\n".join(f"import {name}" for name in names)
    assert without_torch(f"{lines}\nprint('torch' in sys.modules)") == "False\n"


def test_records_are_scored_and_summarised_without_torch(tmp_path):
    mean = run(tmp_path).metrics["accuracy"].mean
    code = f"""
from pathlib import Path

from mmrl.evaluation import Scorer, score, summarise

scorer = Scorer(lambda text, example: {{"accuracy": float(text[:1] == example.answer)}}, name="again")
print(summarise("L1", score(Path({str(tmp_path)!r}), scorer), expected=7, samples=3).metrics["accuracy"].mean)
"""
    assert float(without_torch(code)) == mean
