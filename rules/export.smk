"""Exports: policies and preference pairs as folders to publish, each with its card.

Needs: the tables of the study, the policies, the pairs.
Makes: results/export/models/{model}-M0, results/export/models/{model}-M{t}-{method}-seed{seed} (and …-merged),
       results/export/datasets/{model}-M{t}-{method}-seed{seed}-pairs
"""


rule export_base:
    input:
        unpack(base_of),
        accuracy="results/tables/accuracy.csv",
        win_rates=WIN_RATES,
        splits="results/tables/splits/{model}.csv",
        template="scripts/cream/cards/model.md",
    output:
        export=directory("results/export/models/{model}-M0"),
    log:
        "results/logs/export_base/{model}.log",
    benchmark:
        "results/benchmarks/export_base/{model}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **needs("convert"),
    params:
        flags=export_flags,
        made_by=made_by("export_model.py"),
    shell:
        "python scripts/export_model.py"
        " --policy {input.base:q}"
        " --base {input.base:q}"
        " --accuracy {input.accuracy:q}"
        " --win-rates {input.win_rates:q}"
        " --splits {input.splits:q}"
        " {params.flags}"
        " --export {output.export:q} 2>&1 | tee {log:q}"


rule export_model:
    input:
        unpack(current_policy),
        unpack(base_of),
        pairs=trained_on,
        accuracy="results/tables/accuracy.csv",
        consistency="results/tables/consistency.csv",
        comparisons=COMPARISONS,
        drift=DRIFT,
        win_rates=WIN_RATES,
        reward_quality=REWARD_QUALITY,
        splits="results/tables/splits/{model}.csv",
        template="scripts/cream/cards/model.md",
    output:
        export=directory("results/export/models/{model}-M{t}-{method}-seed{seed}"),
    log:
        "results/logs/export_model/{model}-M{t}-{method}-seed{seed}.log",
    benchmark:
        "results/benchmarks/export_model/{model}-M{t}-{method}-seed{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **needs("convert"),
    params:
        flags=export_flags,
        merging="",
        made_by=made_by("export_model.py"),
    shell:
        "python scripts/export_model.py"
        " --policy {input.model:q}"
        " --base {input.base:q}"
        " --pairs {input.pairs:q}"
        " --accuracy {input.accuracy:q}"
        " --consistency {input.consistency:q}"
        " --comparisons {input.comparisons:q}"
        " --drift {input.drift:q}"
        " --win-rates {input.win_rates:q}"
        " --reward-quality {input.reward_quality:q}"
        " --splits {input.splits:q}"
        " {params.flags}"
        " {params.merging}"
        " --export {output.export:q} 2>&1 | tee {log:q}"


use rule export_model as export_merged with:
    input:
        unpack(current_policy),
        unpack(base_of),
        pairs=trained_on,
        accuracy="results/tables/accuracy.csv",
        consistency="results/tables/consistency.csv",
        comparisons=COMPARISONS,
        drift=DRIFT,
        win_rates=WIN_RATES,
        reward_quality=REWARD_QUALITY,
        splits="results/tables/splits/{model}.csv",
        template="scripts/cream/cards/model.md",
        examples="results/{model}/data/sft.parquet",
    output:
        export=directory("results/export/models/{model}-M{t}-{method}-seed{seed}-merged"),
    log:
        "results/logs/export_merged/{model}-M{t}-{method}-seed{seed}.log",
    benchmark:
        "results/benchmarks/export_merged/{model}-M{t}-{method}-seed{seed}.tsv"
    params:
        flags=export_flags,
        merging=lambda wildcards: flags(merge_on=f"results/{wildcards.model}/data/sft.parquet"),
        made_by=made_by("export_model.py"),


rule export_pairs:
    input:
        pairs="results/{model}/seed{seed}/{method}/iter{t}/pairs.parquet",
        consistency="results/{model}/seed{seed}/{method}/iter{t}/consistency.parquet",
        samples=beside_samples("samples.parquet"),
        prompts="results/{model}/data/prompts/iter{t}.parquet",
        template="scripts/cream/cards/dataset.md",
    output:
        export=directory("results/export/datasets/{model}-M{t}-{method}-seed{seed}-pairs"),
    log:
        "results/logs/export_pairs/{model}-M{t}-{method}-seed{seed}.log",
    benchmark:
        "results/benchmarks/export_pairs/{model}-M{t}-{method}-seed{seed}.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=export_flags,
        made_by=made_by("export_pairs.py"),
    shell:
        "python scripts/export_pairs.py"
        " --pairs {input.pairs:q}"
        " --consistency {input.consistency:q}"
        " --samples {input.samples:q}"
        " --prompts {input.prompts:q}"
        " {params.flags}"
        " --export {output.export:q} 2>&1 | tee {log:q}"
