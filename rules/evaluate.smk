"""Evaluation: every model on every benchmark, by lm-evaluation-harness.

Needs: results/{model}/data/eval/{task}.parquet for the study's own tasks, the files that a
       benchmark's `data` names; the model.
Makes: results/{model}/…/M{t}/eval/{task}.json
"""


rule evaluate_model:
    input:
        unpack(base_of),
        unpack(evaluation_data),
        model=ancient("results/{model}/{policy}/model"),
        digests="results/{model}/{policy}/model.json",
    output:
        result="results/{model}/{policy}/eval/{task}.json",
    log:
        "results/logs/evaluate_model/{model}/{policy}/{task}.log",
    benchmark:
        "results/benchmarks/evaluate_model/{model}/{policy}/{task}.tsv"
    wildcard_constraints:
        policy=ANY_POLICY,
    conda:
        ENVIRONMENT
    threads: config["compute"]["threads"]["evaluate"]
    resources:
        **needs("evaluate", lambda wildcards: sizes.evaluation_tokens(config, wildcards.task)),
    params:
        flags=evaluation_flags,
        run=run_flags("evaluate"),
        made_by=made_by("evaluate_model.py", engine_of("evaluate")),
    shell:
        "python scripts/evaluate_model.py"
        " --model {input.model:q}"
        " --base {input.base:q}"
        " {params.flags}"
        " {params.run}"
        " --result {output.result:q} 2>&1 | tee {log:q}"
