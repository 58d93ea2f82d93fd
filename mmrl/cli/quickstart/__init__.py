"""The whole experiment in minutes on two CPU cores.

A world of real MP4 files with a planted shortcut, a small real Qwen2.5-VL that comes with mmrl, GRPO and GRPO-CARE side by
side from it, and what either did to accuracy and to reasoning on four levels.
"""
