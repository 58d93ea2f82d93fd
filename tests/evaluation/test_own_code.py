"""An evaluation under a condition and with a format of a user's own: on record with their code, and refused with another."""

import json

from tests.evaluation.test_commands import mmrl, own  # noqa: F401
from tests.own_code import forget

CODE = """
from dataclasses import dataclass, replace
from mmrl.data.formats.messages import Messages
from mmrl.data.media.video import Clip

def dark(example, media, seed):
    return [replace(m, frames=m.frames * 0) if isinstance(m, Clip) else m * 0 for m in media]

@dataclass(frozen=True)
class Rows(Messages):
    pass
"""


def test_code_that_decides_what_is_asked_is_on_record(mmrl, own, tmp_path):  # noqa: F811
    path = own / "mine.py"
    path.write_text(CODE)
    sets = [{"name": "all", "format": f"{path}:Rows", "file": "d.jsonl"}]
    assert mmrl("--condition", f"{path}:dark", sets=sets)[0] == 0
    plans = {folder: json.loads((tmp_path / "out" / folder / "all" / "plan.json").read_text())["settings"]
             for folder in ("", "conditions/mine.py-dark")}  # fmt: skip
    assert list(plans[""]["code"]) == ["format"]
    assert list(plans["conditions/mine.py-dark"]["code"]) == ["condition", "format"]
    assert plans["conditions/mine.py-dark"]["condition"] == f"{path}:dark"
    assert mmrl("audit", tmp_path / "out", "--media")[0] == 0
    path.write_text(CODE.replace("* 0", "* 1"))
    forget()
    status, _, said = mmrl("--condition", f"{path}:dark", sets=sets)
    assert status == 2
    assert "holds another measurement (settings: code: format: there '" in " ".join(said.split())


def test_a_plan_without_such_code_is_as_it_was(mmrl, tmp_path):  # noqa: F811
    assert mmrl()[0] == 0
    assert "code" not in json.loads((tmp_path / "out" / "all" / "plan.json").read_text())["settings"]


def test_what_a_condition_does_wrong_costs_no_run_in_silence(mmrl, own):  # noqa: F811
    (own / "mine.py").write_text("def none(example, media, seed):\n    return ()\n")
    forget()
    status, _, said = mmrl(
        condition=f"{own}/mine.py:none", sets=[{"name": "all", "format": "messages", "file": "d.jsonl"}]
    )
    assert status != 0
    assert "expected media of the kinds" in said
