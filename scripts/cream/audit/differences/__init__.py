"""How two files of one kind differ: a module for each kind, each with `differences(…) -> Difference`."""
