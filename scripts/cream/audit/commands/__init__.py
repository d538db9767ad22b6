"""What `audit.py` can be asked: a module each, with its flags and its answer.

A module's docstring is its help. `add_flags(flags)` adds what it needs, `run(settings)` answers.
"""
