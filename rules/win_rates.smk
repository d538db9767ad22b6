"""Win rates: every model answers sets of instructions, a judge compares two models' answers.

Needs: the files of the study's instructions; the models; the judge, a base model or an endpoint.
Makes: results/{model}/…/M{t}/answers/{instructions}.parquet,
       results/{model}/…/M{t}/judged/{instructions}/{other}-M{k}.parquet, results/tables/win_rates.csv
"""


rule answer_instructions:
    input:
        unpack(base_of),
        model=ancient("results/{model}/{policy}/model"),
        digests="results/{model}/{policy}/model.json",
        instructions=lambda wildcards: config["instructions"][wildcards.instructions]["file"],
    output:
        answers="results/{model}/{policy}/answers/{instructions}.parquet",
    log:
        "results/logs/answer_instructions/{model}/{policy}/{instructions}.log",
    benchmark:
        "results/benchmarks/answer_instructions/{model}/{policy}/{instructions}.tsv"
    wildcard_constraints:
        policy=ANY_POLICY,
    conda:
        ENVIRONMENT
    threads: config["compute"]["threads"]["evaluate"]
    resources:
        **needs("evaluate", lambda wildcards: sizes.answer_tokens(config, wildcards.instructions)),
    params:
        flags=answering_flags,
        run=run_flags("evaluate"),
        made_by=made_by("answer_instructions.py", engine_of("evaluate")),
    shell:
        "python scripts/answer_instructions.py"
        " --instructions {input.instructions:q}"
        " --model {input.model:q}"
        " --base {input.base:q}"
        " {params.flags}"
        " {params.run}"
        " --answers {output.answers:q} 2>&1 | tee {log:q}"


# An endpoint is asked from where Snakemake runs: it needs a network, which nodes often lack, and no model here.
BY_ENDPOINT = "endpoint" in config["judges"][STUDY["judge"]]
contest_needs = (
    {}
    if BY_ENDPOINT
    else needs("compare", lambda wildcards: sizes.contest_tokens(config, wildcards.instructions), judge_parameters)
)


rule judge_answers:
    input:
        unpack(local_judge),
        unpack(answers_of_both),
    output:
        judged="results/{model}/seed{seed}/{method}/M{t}/judged/{instructions}/{other}-M{k}.parquet",
    log:
        "results/logs/judge_answers/{model}/seed{seed}/{method}/M{t}/{instructions}/{other}-M{k}.log",
    benchmark:
        "results/benchmarks/judge_answers/{model}/seed{seed}/{method}/M{t}/{instructions}/{other}-M{k}.tsv"
    localrule: BY_ENDPOINT
    conda:
        ENVIRONMENT
    threads: config["compute"]["threads"]["judge"]
    resources:
        **contest_needs,
    params:
        # Not an output: what an endpoint has answered stays when the job fails.
        kept=lambda wildcards, output: output.judged.removesuffix(".parquet") + ".jsonl",
        flags=judge_flags,
        run=run_flags("judge"),
        made_by=made_by("judge_answers.py", engine_of("judge")),
    shell:
        "python scripts/judge_answers.py"
        " --ours {input.ours:q}"
        " --theirs {input.theirs:q}"
        " {params.flags}"
        " {params.run}"
        " --judged {output.judged:q}"
        " --kept {params.kept:q} 2>&1 | tee {log:q}"


rule tabulate_win_rates:
    input:
        judged=JUDGED,
    output:
        win_rates="results/tables/win_rates.csv",
    log:
        "results/logs/tabulate_win_rates.log",
    benchmark:
        "results/benchmarks/tabulate_win_rates.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=win_rate_flags,
        made_by=made_by("tabulate_win_rates.py"),
    shell:
        "python scripts/tabulate_win_rates.py"
        " --judged {input.judged:q}"
        " {params.flags}"
        " --win-rates {output.win_rates:q} 2>&1 | tee {log:q}"
