"""Scoring: log-probabilities of M{t}'s responses under M0, M{t−1} and M{t}.

Needs: samples.parquet of M{t}, the scorer.
Makes: results/{model}/seed{seed}/{method}/M{t}/logprobs/{scorer}.parquet
"""


rule score_responses:
    input:
        unpack(scoring_policy),
        unpack(base_of),
        samples="results/{model}/seed{seed}/{method}/M{t}/samples.parquet",
    output:
        logprobs="results/{model}/seed{seed}/{method}/M{t}/logprobs/{scorer}.parquet",
    log:
        "results/logs/score_responses/{model}/seed{seed}/{method}/M{t}/{scorer}.log",
    benchmark:
        "results/benchmarks/score_responses/{model}/seed{seed}/{method}/M{t}/{scorer}.tsv"
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
        " --model {input.model:q}"
        " --base {input.base:q}"
        " {params.flags}"
        " {params.run}"
        " --logprobs {output.logprobs:q} 2>&1 | tee {log:q}"
