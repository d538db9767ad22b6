"""Shards: the parts of a sampled, scored or judged table become that table.

Needs: …/M{t}/{table}.shards/{shard}-of-{n}.parquet, all n.
Makes: results/{model}/seed{seed}/{method}/M{t}/{table}.parquet
"""

if SHARDS > 1:

    rule merge_shards:
        input:
            shards=expand(
                sharded("results/{{model}}/seed{{seed}}/{{method}}/M{{t}}/{{table}}.parquet"),
                shard=range(1, SHARDS + 1),
            ),
        output:
            table="results/{model}/seed{seed}/{method}/M{t}/{table}.parquet",
        log:
            "results/logs/merge_shards/{model}/seed{seed}/{method}/M{t}/{table}.log",
        benchmark:
            "results/benchmarks/merge_shards/{model}/seed{seed}/{method}/M{t}/{table}.tsv"
        wildcard_constraints:
            table=r"samples|(logprobs|judgements)/M\d+",
        priority: CHAIN_FIRST
        localrule: True
        conda:
            ENVIRONMENT
        params:
            kind=lambda wildcards: flags(kind=wildcards.table.split("/")[0]),
            made_by=made_by("merge_shards.py"),
        shell:
            "python scripts/merge_shards.py"
            " {params.kind}"
            " --shards {input.shards:q}"
            " --table {output.table:q} 2>&1 | tee {log:q}"
