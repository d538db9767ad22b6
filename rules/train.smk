"""Preference training: M{t} → M{t+1} on the pairs of iteration t.

Needs: results/{model}/seed{seed}/{method}/iter{t}/pairs.parquet, M{t}.
Makes: results/{model}/seed{seed}/{method}/M{t+1}/model
"""


rule train_policy:
    input:
        unpack(step_before),
        unpack(base_of),
    output:
        model=directory("results/{model}/seed{seed}/{method}/M{t}/model"),
        digests="results/{model}/seed{seed}/{method}/M{t}/model.json",
    log:
        "results/logs/train_policy/{model}/seed{seed}/{method}/M{t}.log",
    benchmark:
        "results/benchmarks/train_policy/{model}/seed{seed}/{method}/M{t}.tsv"
    wildcard_constraints:
        method="(?!sft/)[a-z0-9][a-z0-9._-]*",
    priority: CHAIN_FIRST
    conda:
        ENVIRONMENT
    threads: cpus("train")
    resources:
        **needs("train", lambda wildcards: sizes.pair_tokens(config)),
    params:
        flags=lambda wildcards: training_flags("train", wildcards.seed),
        loss=lambda wildcards: flags(**METHOD_TABLE[wildcards.method]["loss"]),
        run=run_flags("train"),
        launcher=launcher(config["compute"]["processes"]["train"]),
        made_by=made_by("train_policy.py"),
    shell:
        "{params.launcher} scripts/train_policy.py"
        " --pairs {input.pairs:q}"
        " --start {input.model:q}"
        " --base {input.base:q}"
        " {params.loss}"
        " {params.flags}"
        " {params.run}"
        " --model {output.model:q} 2>&1 | tee {log:q}"
