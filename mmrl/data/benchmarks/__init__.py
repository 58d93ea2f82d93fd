"""Rows of public benchmarks as examples: one small file a format, which cites the loader that it follows.

A benchmark's rows are asked as they were released, odd ones included: an option without text, options that say the
same, a choice among one. What the benchmark's protocol makes of the answers is not known here (`benchmark.protocols.general_video`).
"""
