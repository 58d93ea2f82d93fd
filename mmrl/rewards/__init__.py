"""Rewards: one parser, and graders that are plain callables."""

from mmrl.rewards.consistency import consistency_rule
from mmrl.rewards.grade import grade, grade_one
from mmrl.rewards.graders import GRADERS, Grader, check, trace
from mmrl.rewards.ladder import Extraction, extract, letter
from mmrl.rewards.load import load
from mmrl.rewards.parse import Parsed, official, parse

__all__ = [
    "GRADERS",
    "Extraction",
    "Grader",
    "Parsed",
    "check",
    "consistency_rule",
    "extract",
    "grade",
    "grade_one",
    "letter",
    "load",
    "official",
    "parse",
    "trace",
]
