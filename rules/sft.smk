"""Supervised fine-tuning: M0 → M1, shared by every method.

Needs: results/{model}/data/sft.parquet, M0.
Makes: results/{model}/seed{seed}/sft/M1/model
"""


rule train_sft:
    input:
        unpack(base_of),
        split="results/{model}/data/sft.parquet",
    output:
        model=directory("results/{model}/seed{seed}/sft/M1/model"),
        digests="results/{model}/seed{seed}/sft/M1/model.json",
    log:
        "results/logs/train_sft/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train_sft/{model}/seed{seed}.tsv"
    priority: CHAIN_FIRST
    conda:
        ENVIRONMENT
    threads: cpus("sft")
    resources:
        **needs("sft", lambda wildcards: sizes.sft_tokens(config)),
    params:
        flags=lambda wildcards: training_flags("sft", wildcards.seed),
        run=run_flags("sft"),
        launcher=launcher(config["compute"]["processes"]["sft"]),
        made_by=made_by("train_sft.py"),
    shell:
        "{params.launcher} scripts/train_sft.py"
        " --split {input.split:q}"
        " --start {input.base:q}"
        " --base {input.base:q}"
        " {params.flags}"
        " {params.run}"
        " --model {output.model:q} 2>&1 | tee {log:q}"
