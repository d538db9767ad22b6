"""Data: collect each task's items, cut them into disjoint splits, template them to token ids.

Needs: M0's tokenizer, the packages or files that hold the items.
Makes: results/data/pool/{task}.parquet,
       results/{model}/data/{sft,prompts/iter{t},eval/{task}}.parquet, results/tables/splits/{model}.csv
"""


rule build_pool:
    input:
        unpack(pool_input),
    output:
        pool="results/data/pool/{task}.parquet",
    log:
        "results/logs/build_pool/{task}.log",
    benchmark:
        "results/benchmarks/build_pool/{task}.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=pool_flags,
        made_by=made_by("build_pool.py"),
    shell:
        "python scripts/build_pool.py" " {params.flags}" " --pool {output.pool:q} 2>&1 | tee {log:q}"


rule encode_sft:
    input:
        unpack(base_of),
        pools=expand("results/data/pool/{task}.parquet", task=STUDY["tasks"]),
    output:
        split="results/{model}/data/sft.parquet",
    log:
        "results/logs/encode_sft/{model}.log",
    benchmark:
        "results/benchmarks/encode_sft/{model}.tsv"
    conda:
        ENVIRONMENT
    params:
        slices=training_slices(lambda task: (0, task["sft"])),
        made_by=made_by("encode_split.py"),
    shell:
        "python scripts/encode_split.py"
        " --pools {input.pools:q}"
        " --slices {params.slices}"
        " --model {input.base:q}"
        " --split {output.split:q} 2>&1 | tee {log:q}"


use rule encode_sft as encode_prompts with:
    output:
        split="results/{model}/data/prompts/iter{t}.parquet",
    log:
        "results/logs/encode_prompts/{model}/iter{t}.log",
    benchmark:
        "results/benchmarks/encode_prompts/{model}/iter{t}.tsv"
    conda:
        ENVIRONMENT
    params:
        slices=prompt_slices,
        made_by=made_by("encode_split.py"),


use rule encode_sft as encode_evaluation with:
    input:
        unpack(base_of),
        pools="results/data/pool/{task}.parquet",
    output:
        split="results/{model}/data/eval/{task}.parquet",
    log:
        "results/logs/encode_evaluation/{model}/{task}.log",
    benchmark:
        "results/benchmarks/encode_evaluation/{model}/{task}.tsv"
    conda:
        ENVIRONMENT
    params:
        slices=lambda wildcards: f"{wildcards.task}=-{config['tasks'][wildcards.task]['eval']}:",
        made_by=made_by("encode_split.py"),


rule check_splits:
    input:
        lambda wildcards: [path for path in SPLITS if path.startswith(f"results/{wildcards.model}/")],
    output:
        report="results/tables/splits/{model}.csv",
    log:
        "results/logs/check_splits/{model}.log",
    benchmark:
        "results/benchmarks/check_splits/{model}.tsv"
    priority: 100  # first of what can run: an overlap must stop the study before it costs hours
    conda:
        ENVIRONMENT
    params:
        made_by=made_by("check_splits.py"),
    shell:
        "python scripts/check_splits.py" " --splits {input:q}" " --report {output.report:q} 2>&1 | tee {log:q}"
