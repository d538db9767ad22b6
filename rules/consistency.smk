"""Rewards and consistency of iteration t: what the model thinks of its answers, and whether its
predecessor agrees.

Needs: log-probs of M{t}'s responses under M0, M{t−1} and M{t}.
Makes: results/{model}/seed{seed}/{method}/iter{t}/{rewards,consistency}.parquet
"""


rule compute_rewards:
    input:
        unpack(logprobs("current", "previous", "base")),
    output:
        rewards="results/{model}/seed{seed}/{method}/iter{t}/rewards.parquet",
    log:
        "results/logs/compute_rewards/{model}/seed{seed}/{method}/iter{t}.log",
    benchmark:
        "results/benchmarks/compute_rewards/{model}/seed{seed}/{method}/iter{t}.tsv"
    priority: CHAIN_FIRST
    conda:
        "../envs/cpu.yaml"
    params:
        flags=lambda wildcards: flags(**method_of(wildcards, "reward", "previous_score"), iteration=wildcards.t),
        made_by=made_by("compute_rewards.py"),
    shell:
        "python scripts/compute_rewards.py"
        " --current {input.current:q}"
        " --previous {input.previous:q}"
        " --base {input.base:q}"
        " {params.flags}"
        " --rewards {output.rewards:q} 2>&1 | tee {log:q}"


rule measure_consistency:
    input:
        rewards="results/{model}/seed{seed}/{method}/iter{t}/rewards.parquet",
    output:
        consistency="results/{model}/seed{seed}/{method}/iter{t}/consistency.parquet",
    log:
        "results/logs/measure_consistency/{model}/seed{seed}/{method}/iter{t}.log",
    benchmark:
        "results/benchmarks/measure_consistency/{model}/seed{seed}/{method}/iter{t}.tsv"
    priority: CHAIN_FIRST
    conda:
        "../envs/cpu.yaml"
    params:
        flags=lambda wildcards: flags(**method_of(wildcards, "measure", "level")),
        made_by=made_by("measure_consistency.py"),
    shell:
        "python scripts/measure_consistency.py"
        " --rewards {input.rewards:q}"
        " {params.flags}"
        " --consistency {output.consistency:q} 2>&1 | tee {log:q}"
