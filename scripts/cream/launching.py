"""What starts a stage's script: Python, or one Python for each of the processes that share a training's every step."""

from __future__ import annotations


def launcher(processes: int) -> str:
    """The words before the script on the command line of its shell."""
    if processes == 1:
        return "python"
    # --multi_gpu starts the processes; without a GPU the stage makes them share processors.
    # Asked to end, they have as long as the cluster gives them: torch alone would kill them after 30 seconds.
    return (
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT=86400 accelerate launch --multi_gpu --num_machines 1"
        f" --num_processes {processes} --mixed_precision no --dynamo_backend no --main_process_port 0"
    )
