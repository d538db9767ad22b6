"""What jobs ask for: GPUs, memory and time from the study's sizes (scripts/cream/cluster/needs.py), the
partition and the way to ask for GPUs from the top of slurm/profile.yaml."""

from cream.cluster import needs as sizes

# What each site sets under default-resources; without a profile nothing is asked of SLURM.
SITE = {name: resource.raw for name, resource in (workflow.resource_settings.default_resources or {}).items()}


def needs(kind, tokens=lambda wildcards: 0, parameters=None):
    """The resources of a rule: `tokens` and `parameters` are functions of its wildcards."""
    parameters = parameters or base_parameters

    def wanted(wildcards):
        return sizes.need(config, kind, tokens(wildcards), parameters(wildcards))

    return {
        "mem_mb": lambda wildcards, attempt: sizes.memory_request(config, wanted(wildcards), attempt),
        "runtime": lambda wildcards, attempt: sizes.time_request(config, wanted(wildcards), attempt),
        "expected_seconds": lambda wildcards: wanted(wildcards).seconds,
        **gpu_request(sizes.gpus(config, kind)),
    }


def gpu_request(count):
    """How this site asks for GPUs: gpus, gpus:KIND, gres or gres:KIND."""
    if count == 0:
        return {}
    way, _, model = SITE.get("gpu_request", "gpus").partition(":")
    asked = {"gpu": count} | ({"gpu_model": model} if model else {})
    if way == "gres":
        asked = {"gres": ":".join(["gpu", *([model] if model else []), str(count)])}
    return asked | ({"slurm_partition": SITE["gpu_partition"]} if "gpu_partition" in SITE else {})


def base_parameters(wildcards):
    return config["models"][wildcards.model]["parameters"]


def reward_parameters(wildcards):
    return config["reward_models"][wildcards.reward_model]["parameters"]


def judge_parameters(wildcards):
    """Of the local judge of win rates."""
    return config["models"][config["judges"][STUDY["judge"]]["model"]]["parameters"]
