"""What a study asks of a cluster: resources of its jobs, checks before, cost and progress."""
