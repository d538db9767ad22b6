"""The reproducibility answers that reviewers ask for, filled in from records alone."""
