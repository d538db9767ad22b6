"""Audits of a finished study: from its files and records alone, without Snakemake's state, a network or a GPU."""
