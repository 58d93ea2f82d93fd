"""SEED-Bench-R1 (2503.24376) as GRPO-CARE (2506.16141) evaluates it: three levels, and the papers' rows beside ours.

`protocol` says how many questions there must be and refuses fewer, `published` holds the papers' rows and what differs,
`page` makes the tables of what `mmrl.evaluation.commands.run` measured.
"""
