"""Reports: one self-contained page a run, and its table of levels for the terminal."""

from mmrl.report.data import Completion, ReportData, Rollout
from mmrl.report.html import write_report
from mmrl.report.levels import levels_as_json, verdict
from mmrl.report.table import levels_table, summaries_table

__all__ = [
    "Completion",
    "ReportData",
    "Rollout",
    "levels_as_json",
    "levels_table",
    "summaries_table",
    "verdict",
    "write_report",
]
