"""trionode and what its users would pick instead, on the same work in one run.

`python -m tests.benchmarks --help` says how to run it.
"""
