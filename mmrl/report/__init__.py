"""Reports: one self-contained page of a run or of several, and tables of levels for the terminal."""

from mmrl.evaluation.tables.levels import levels_as_json, verdict
from mmrl.evaluation.tables.terminal import comparison_table, levels_table, summaries_table
from mmrl.report.curves import read_metrics
from mmrl.report.data import Comparison, Completion, ReportData, Rollout
from mmrl.report.html import write_report

__all__ = [
    "Comparison",
    "Completion",
    "ReportData",
    "Rollout",
    "comparison_table",
    "levels_as_json",
    "levels_table",
    "read_metrics",
    "summaries_table",
    "verdict",
    "write_report",
]
