"""Scoring: log-probabilities of M{t}'s responses under M0, M{t−1} and M{t}.

Needs: samples.parquet of M{t}, the scorers.
Makes: results/{model}/seed{seed}/{method}/M{t}/logprobs/M{k}.parquet

One rule an iteration, because each scores with other models; one job for all of them, because
starting Python and torch takes longer than scoring.
"""

for t in ROUNDS:

    rule:
        name:
            f"score_M{t}"
        input:
            unpack(scoring_policies(t)),
            unpack(base_of),
            samples=f"results/{{model}}/seed{{seed}}/{{method}}/M{t}/samples.parquet",
        output:
            logprobs=[f"results/{{model}}/seed{{seed}}/{{method}}/M{t}/logprobs/M{k}.parquet" for k in scorers(t)],
        log:
            f"results/logs/score_responses/{{model}}/seed{{seed}}/{{method}}/M{t}.log",
        benchmark:
            f"results/benchmarks/score_responses/{{model}}/seed{{seed}}/{{method}}/M{t}.tsv"
        priority: CHAIN_FIRST
        conda:
            "../envs/cpu.yaml"
        threads: config["compute"]["threads"]["score"]
        params:
            flags=flags(**config["score"]),
            run=run_flags("score"),
            made_by=made_by("score_responses.py"),
        shell:
            "python scripts/score_responses.py"
            " --samples {input.samples:q}"
            " --models {input.scorers:q}"
            " --base {input.base:q}"
            " {params.flags}"
            " {params.run}"
            " --logprobs {output.logprobs:q} 2>&1 | tee {log:q}"
