"""The only doorway between the study and whatever runs a model.

`sampler`, `scorer` and `trainer` open an engine by name; `base` says what each must offer. They
are apart because a stage is made again when code it imports changes: an edit to training must
not sample anew.
"""
