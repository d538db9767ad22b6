"""Reward quality: does each M{t} tell good responses from bad ones?

Needs: M{t}'s samples, verdicts, log-probabilities and own judgements; the RewardBench file, where
       study.reward_bench names one, and every model.
Makes: results/{model}/…/M{t}/reward_bench.parquet, results/tables/reward_quality.csv
"""

REWARD_BENCHES = [f"{folder}/reward_bench.parquet" for folder in POLICIES] if STUDY["reward_bench"] else []
# Each model's log-probs of its own responses, and M0's, which its reward is relative to.
OWN_LOGPROBS = sorted({f"{policy(*at)}/logprobs/M{k}.parquet" for at in ITERATIONS for k in (0, at[-1])})
# Each model's own votes, where some method asks for them.
OWN_JUDGEMENTS = sorted(
    {
        f"{policy(m, s, method, t)}/judgements/M{t}.parquet"
        for m, s, method, t in ITERATIONS
        if t in tables_needed(METHOD_TABLE[method], t)["judgements"]
    }
)

if STUDY["reward_bench"] and not Path(STUDY["reward_bench"]).is_file():
    sys.exit(f"error: config: study.reward_bench: there is no file {STUDY['reward_bench']}; correct the path")


rule score_reward_bench:
    input:
        unpack(base_of),
        file=STUDY["reward_bench"] or [],
        model=ancient("results/{model}/{policy}/model"),
        digests="results/{model}/{policy}/model.json",
    output:
        reward_bench="results/{model}/{policy}/reward_bench.parquet",
    log:
        "results/logs/score_reward_bench/{model}/{policy}.log",
    benchmark:
        "results/benchmarks/score_reward_bench/{model}/{policy}.tsv"
    wildcard_constraints:
        policy=ANY_POLICY,
    conda:
        ENVIRONMENT
    threads: config["compute"]["threads"]["score"]
    resources:
        **needs("score", lambda wildcards: sizes.reward_bench_tokens(config)),
    params:
        flags=flags(**config["score"]),
        run=run_flags("score"),
        made_by=made_by("score_reward_bench.py", engine_of("score")),
    shell:
        "python scripts/score_reward_bench.py"
        " --file {input.file:q}"
        " --model {input.model:q}"
        " --base {input.base:q}"
        " {params.flags}"
        " {params.run}"
        " --reward-bench {output.reward_bench:q} 2>&1 | tee {log:q}"


rule measure_reward_quality:
    input:
        samples=SAMPLES,
        verdicts=VERDICTS,
        logprobs=OWN_LOGPROBS,
        judgements=OWN_JUDGEMENTS,
        reward_benches=REWARD_BENCHES,
    output:
        reward_quality="results/tables/reward_quality.csv",
    log:
        "results/logs/measure_reward_quality.log",
    benchmark:
        "results/benchmarks/measure_reward_quality.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags(**config["statistics"]),
        made_by=made_by("measure_reward_quality.py"),
    shell:
        "python scripts/measure_reward_quality.py"
        " --samples {input.samples:q}"
        " --verdicts {input.verdicts:q}"
        " --logprobs {input.logprobs:q}"
        " --judgements {input.judgements:q}"
        " --reward-bench {input.reward_benches:q}"
        " {params.flags}"
        " --reward-quality {output.reward_quality:q} 2>&1 | tee {log:q}"
