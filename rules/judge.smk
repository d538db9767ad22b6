"""Opinions on the responses besides log-probs: models as judges, the verifier, a reward model.

Needs: samples.parquet of M{t}, the prompts they answer, the judge or reward model.
Makes: results/{model}/seed{seed}/{method}/M{t}/judgements/M{k}.parquet, …/verdicts.parquet,
       …/external/{reward_model}.parquet
"""


rule judge_responses:
    input:
        unpack(judging_policy),
        unpack(base_of),
        samples="results/{model}/seed{seed}/{method}/M{t}/samples.parquet",
        prompts="results/{model}/data/prompts/iter{t}.parquet",
    output:
        judgements=sharded("results/{model}/seed{seed}/{method}/M{t}/judgements/M{k}.parquet"),
    log:
        sharded("results/logs/judge_responses/{model}/seed{seed}/{method}/M{t}/M{k}.log"),
    benchmark:
        sharded("results/benchmarks/judge_responses/{model}/seed{seed}/{method}/M{t}/M{k}.tsv")
    priority: CHAIN_FIRST
    conda:
        ENVIRONMENT
    threads: config["compute"]["threads"]["judge"]
    resources:
        **needs("judge", lambda wildcards: sizes.vote_tokens(config)),
    params:
        flags=lambda wildcards: flags(**config["judge"], judge=wildcards.k, seed=wildcards.seed, iteration=wildcards.t),
        shard=shard_flags,
        run=run_flags("judge"),
        made_by=made_by("judge_responses.py", engine_of("judge")),
    shell:
        "python scripts/judge_responses.py"
        " --samples {input.samples:q}"
        " --prompts {input.prompts:q}"
        " --model {input.model:q}"
        " --base {input.base:q}"
        " {params.flags}"
        " {params.shard}"
        " {params.run}"
        " --judgements {output.judgements:q} 2>&1 | tee {log:q}"


rule verify_responses:
    input:
        samples="results/{model}/seed{seed}/{method}/M{t}/samples.parquet",
        prompts="results/{model}/data/prompts/iter{t}.parquet",
    output:
        verdicts="results/{model}/seed{seed}/{method}/M{t}/verdicts.parquet",
    log:
        "results/logs/verify_responses/{model}/seed{seed}/{method}/M{t}.log",
    benchmark:
        "results/benchmarks/verify_responses/{model}/seed{seed}/{method}/M{t}.tsv"
    conda:
        ENVIRONMENT
    params:
        made_by=made_by("verify_responses.py"),
    shell:
        "python scripts/verify_responses.py"
        " --samples {input.samples:q}"
        " --prompts {input.prompts:q}"
        " --verdicts {output.verdicts:q} 2>&1 | tee {log:q}"


rule reward_responses:
    input:
        samples="results/{model}/seed{seed}/{method}/M{t}/samples.parquet",
        prompts="results/{model}/data/prompts/iter{t}.parquet",
        reward_model=ancient("results/reward_models/{reward_model}/model"),
        digests="results/reward_models/{reward_model}/model.json",
    output:
        external="results/{model}/seed{seed}/{method}/M{t}/external/{reward_model}.parquet",
    log:
        "results/logs/reward_responses/{model}/seed{seed}/{method}/M{t}/{reward_model}.log",
    benchmark:
        "results/benchmarks/reward_responses/{model}/seed{seed}/{method}/M{t}/{reward_model}.tsv"
    priority: CHAIN_FIRST
    conda:
        ENVIRONMENT
    threads: config["compute"]["threads"]["reward"]
    resources:
        **needs("reward", lambda wildcards: sizes.response_tokens(config), reward_parameters),
    params:
        flags=flags(**config["reward_model"]),
        run=run_flags("reward"),
        made_by=made_by("reward_responses.py"),
    shell:
        "python scripts/reward_responses.py"
        " --samples {input.samples:q}"
        " --prompts {input.prompts:q}"
        " --model {input.reward_model:q}"
        " {params.flags}"
        " {params.run}"
        " --external {output.external:q} 2>&1 | tee {log:q}"
