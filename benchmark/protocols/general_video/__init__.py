"""General video benchmarks: how each of them makes numbers of answers, and a table that nobody can make from fewer items.

What is asked stands in ``configs/eval/NAME.yaml``, so that ``mmrl eval run`` asks the same. Here is what comes after: the
categories, the published way of averaging, and how many items a release has. docs/benchmarks.md has a section for each.
"""
