"""Sampling: N responses of M{t} to the prompts of iteration t.

Needs: results/{model}/data/prompts/iter{t}.parquet, M{t}.
Makes: results/{model}/seed{seed}/{method}/M{t}/samples.parquet, in shards if the study says so
"""


rule sample_responses:
    input:
        unpack(current_policy),
        unpack(base_of),
        prompts="results/{model}/data/prompts/iter{t}.parquet",
    output:
        samples=sharded("results/{model}/seed{seed}/{method}/M{t}/samples.parquet"),
    log:
        sharded("results/logs/sample_responses/{model}/seed{seed}/{method}/M{t}.log"),
    benchmark:
        sharded("results/benchmarks/sample_responses/{model}/seed{seed}/{method}/M{t}.tsv")
    priority: CHAIN_FIRST
    conda:
        ENVIRONMENT
    threads: config["compute"]["threads"]["sample"]
    resources:
        **needs("sample", lambda wildcards: sizes.response_tokens(config)),
    params:
        flags=lambda wildcards: flags(**config["sample"], seed=wildcards.seed, iteration=wildcards.t),
        shard=shard_flags,
        run=run_flags("sample"),
        made_by=made_by("sample_responses.py", engine_of("sample")),
    shell:
        "python scripts/sample_responses.py"
        " --prompts {input.prompts:q}"
        " --model {input.model:q}"
        " --base {input.base:q}"
        " {params.flags}"
        " {params.shard}"
        " {params.run}"
        " --samples {output.samples:q} 2>&1 | tee {log:q}"
