"""A full experiment in minutes on two CPU cores.

It renders a world of real MP4 files with a planted shortcut, trains a small real Qwen2.5-VL, which comes with mmrl, by GRPO and
by GRPO-CARE, and compares accuracy and reasoning on four levels.
"""
