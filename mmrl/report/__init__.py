"""Reports: one self-contained page of a training run, of several runs, or of an evaluation."""

from mmrl.report.curves import read_metrics
from mmrl.report.data import Completion, ReportData, Rollout
from mmrl.report.html import write_report

__all__ = ["Completion", "ReportData", "Rollout", "read_metrics", "write_report"]
