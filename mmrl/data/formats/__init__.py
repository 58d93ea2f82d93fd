"""Convert annotation files to examples. Each module has one format and cites the loader that it follows.

Rows of public benchmarks are asked as they were released, odd ones included: an option without text, equal options, a
choice with one option. Benchmark protocols, which score the answers, are elsewhere.
"""
