"""Measures how fast a step is: mmrl, transformers alone and TRL on one model, each in its own process, beside a floor.

case.py       what is measured: prompt length, group, new tokens, vocabulary, tower
model.py      a random Qwen2.5-VL of that case with its processor, and prompts with real clips
flops.py      the arithmetic that each path cannot do without
clock.py      laps, peak memory, and what passed through tower and language model
ours.py, plain.py, with_trl.py, floor.py, check.py    what is timed
worker.py     one of them in a process; run.py the points, page.py table and picture
"""
