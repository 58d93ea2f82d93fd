"""Reports: one self-contained page of training runs, or of an evaluation."""

from mmrl.report.curves import read_metrics
from mmrl.report.data import ReportData, Rollout, RolloutCompletion
from mmrl.report.html import write_report

__all__ = ["ReportData", "Rollout", "RolloutCompletion", "read_metrics", "write_report"]
