"""The whole experiment in minutes on two CPU cores.

A world of real MP4 files with a planted shortcut, a small real Qwen2.5-VL that comes with mmrl, GRPO and GRPO-CARE side by
side from it, and what either did to accuracy and to reasoning on four levels.
"""

from mmrl.cli.quickstart.experiment import MARK, run_quickstart, start_over
from mmrl.cli.quickstart.settings import QuickstartPlan

__all__ = ["MARK", "QuickstartPlan", "run_quickstart", "start_over"]
