"""Rewards and consistency of iteration t: what ranks the answers, and whether another ranking agrees.

Needs: raw scores of M{t}'s responses (log-probs, votes, verdicts, an external model's scores).
Makes: results/{model}/seed{seed}/{method}/iter{t}/{rewards,consistency,agreement}.parquet
"""


rule compute_rewards:
    input:
        unpack(raw_tables),
    output:
        rewards="results/{model}/seed{seed}/{method}/iter{t}/rewards.parquet",
    log:
        "results/logs/compute_rewards/{model}/seed{seed}/{method}/iter{t}.log",
    benchmark:
        "results/benchmarks/compute_rewards/{model}/seed{seed}/{method}/iter{t}.tsv"
    priority: CHAIN_FIRST
    conda:
        ENVIRONMENT
    params:
        flags=reward_flags,
        made_by=made_by("compute_rewards.py"),
    shell:
        "python scripts/compute_rewards.py" " {params.flags}" " --rewards {output.rewards:q} 2>&1 | tee {log:q}"


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
        ENVIRONMENT
    params:
        flags=consistency_flags,
        made_by=made_by("measure_consistency.py"),
    shell:
        "python scripts/measure_consistency.py"
        " --rewards {input.rewards:q}"
        " {params.flags}"
        " --consistency {output.consistency:q} 2>&1 | tee {log:q}"


rule measure_agreement:
    input:
        unpack(logprobs("current", "previous", "base")),
        samples=beside_samples("samples.parquet"),
        rewards="results/{model}/seed{seed}/{method}/iter{t}/rewards.parquet",
        verdicts=beside_samples("verdicts.parquet"),
    output:
        agreement="results/{model}/seed{seed}/{method}/iter{t}/agreement.parquet",
    log:
        "results/logs/measure_agreement/{model}/seed{seed}/{method}/iter{t}.log",
    benchmark:
        "results/benchmarks/measure_agreement/{model}/seed{seed}/{method}/iter{t}.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=lambda wildcards: flags(iteration=wildcards.t),
        made_by=made_by("measure_agreement.py"),
    shell:
        "python scripts/measure_agreement.py"
        " --samples {input.samples:q}"
        " --rewards {input.rewards:q}"
        " --current {input.current:q}"
        " --previous {input.previous:q}"
        " --base {input.base:q}"
        " --verdicts {input.verdicts:q}"
        " {params.flags}"
        " --agreement {output.agreement:q} 2>&1 | tee {log:q}"
