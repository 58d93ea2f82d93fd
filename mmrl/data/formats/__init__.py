"""Annotation files to examples, one format a file, which cites the loader that it follows.

Rows of public benchmarks are asked as they were released, odd ones included: an option without text, options that say the
same, a choice among one. What a benchmark's protocol makes of the answers is not known here.
"""
