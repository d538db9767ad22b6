"""Consistency-regularised self-rewarding: the library under the workflow's scripts.

Nothing here imports Snakemake. From rewards to pairs everything is a pure function over
tables; models are touched only inside `cream.engines`.
"""
