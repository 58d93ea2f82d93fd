"""Rewards: one parser, and graders, which are plain callables of one completion or of a group, async or not."""

from mmrl.rewards.answer_extraction import Extraction, chosen_letter, extract
from mmrl.rewards.consistency import consistency_rule
from mmrl.rewards.grader_forms import GroupGrader, group_grader
from mmrl.rewards.graders import GRADERS, Grader, check_gold, trace
from mmrl.rewards.load_grader import load_grader
from mmrl.rewards.parse import Parsed, first_block, parse
from mmrl.rewards.run_graders import grade, grade_groups, grade_one

__all__ = [
    "GRADERS",
    "Extraction",
    "Grader",
    "GroupGrader",
    "Parsed",
    "check_gold",
    "chosen_letter",
    "consistency_rule",
    "extract",
    "first_block",
    "grade",
    "grade_groups",
    "grade_one",
    "group_grader",
    "load_grader",
    "parse",
    "trace",
]
