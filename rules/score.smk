"""Scoring: log-probabilities of M{t}'s responses under M0, M{t−1} and M{t}.

Needs: samples.parquet of M{t}, the scorers.
Makes: results/{model}/seed{seed}/{method}/M{t}/logprobs/M{k}.parquet, in shards if the study says so

One rule an iteration, because each scores with other models; one job for all of them, because
starting Python and torch takes longer than scoring. Ensembles that reach further back have each
older model's table from a rule of its own.
"""

for t, models in SCORING_JOBS:

    rule:
        name:
            scoring_rule(t, models)
        input:
            unpack(scoring_policies(models)),
            unpack(base_of),
            samples=f"results/{{model}}/seed{{seed}}/{{method}}/M{t}/samples.parquet",
        output:
            logprobs=[sharded(f"results/{{model}}/seed{{seed}}/{{method}}/M{t}/logprobs/M{k}.parquet") for k in models],
        log:
            sharded(f"results/logs/{scoring_rule(t, models)}/{{model}}/seed{{seed}}/{{method}}.log"),
        benchmark:
            sharded(f"results/benchmarks/{scoring_rule(t, models)}/{{model}}/seed{{seed}}/{{method}}.tsv")
        priority: CHAIN_FIRST
        conda:
            ENVIRONMENT
        threads: config["compute"]["threads"]["score"]
        resources:
            **needs("score", lambda wildcards, models=models: len(models) * sizes.response_tokens(config)),
        params:
            flags=flags(**config["score"]),
            shard=shard_flags,
            run=run_flags("score"),
            made_by=made_by("score_responses.py", engine_of("score")),
        shell:
            "python scripts/score_responses.py"
            " --samples {input.samples:q}"
            " --models {input.scorers:q}"
            " --base {input.base:q}"
            " {params.flags}"
            " {params.shard}"
            " {params.run}"
            " --logprobs {output.logprobs:q} 2>&1 | tee {log:q}"
