"""Preference pairs of iteration t, with the weight and the reference log-probs training reads.

Needs: samples, rewards and consistency of the iteration, log-probs under M{t} itself.
Makes: results/{model}/seed{seed}/{method}/iter{t}/pairs.parquet
"""


rule build_pairs:
    input:
        unpack(logprobs("current")),
        samples=beside_samples("samples.parquet"),
        rewards="results/{model}/seed{seed}/{method}/iter{t}/rewards.parquet",
        consistency="results/{model}/seed{seed}/{method}/iter{t}/consistency.parquet",
    output:
        pairs="results/{model}/seed{seed}/{method}/iter{t}/pairs.parquet",
    log:
        "results/logs/build_pairs/{model}/seed{seed}/{method}/iter{t}.log",
    benchmark:
        "results/benchmarks/build_pairs/{model}/seed{seed}/{method}/iter{t}.tsv"
    priority: CHAIN_FIRST
    conda:
        ENVIRONMENT
    params:
        flags=lambda wildcards: flags(**METHOD_TABLE[wildcards.method]["pairs"]),
        made_by=made_by("build_pairs.py"),
    shell:
        "python scripts/build_pairs.py"
        " --samples {input.samples:q}"
        " --rewards {input.rewards:q}"
        " --consistency {input.consistency:q}"
        " --reference {input.current:q}"
        " {params.flags}"
        " --pairs {output.pairs:q} 2>&1 | tee {log:q}"
