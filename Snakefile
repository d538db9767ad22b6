"""CREAM: a language model improves itself from its own judgements, as a reproducible study.

snakemake --cores all                  the default study
snakemake --cores all TARGET           one stage: assets, data, sft, sample, score, judge,
                                       consistency, pairs, train, evaluate, win_rates, tables,
                                       report, audit or export
snakemake --profile slurm preflight    is everything ready on this cluster? (docs/slurm.md)
snakemake --cores all PATH             any single artifact (results/README.md)
"""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


# A cluster that ends a job early sends SIGTERM to all its processes. The stage saves what it has and ends; the
# shell and the `tee` around it must not go before. The stage inherits none of that: one that has not begun yet ends
# at once. A prefix takes the place of Snakemake's own, which is pipefail.
shell.prefix("set -euo pipefail; trap : TERM; tee() {{ trap '' TERM; exec tee \"$@\"; }}; ")


include: "rules/common.smk"
include: "rules/resources.smk"
include: "rules/slurm.smk"
include: "rules/inputs.smk"
include: "rules/assets.smk"
include: "rules/data.smk"
include: "rules/sft.smk"
include: "rules/sample.smk"
include: "rules/score.smk"
include: "rules/judge.smk"
include: "rules/shards.smk"
include: "rules/consistency.smk"
include: "rules/pairs.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/win_rates.smk"
include: "rules/reward_quality.smk"
include: "rules/tables.smk"
include: "rules/report.smk"
include: "rules/audit.smk"
include: "rules/export.smk"
include: "rules/preflight.smk"


localrules:
    all,
    assets,
    data,
    sft,
    sample,
    score,
    judge,
    consistency,
    pairs,
    train,
    evaluate,
    win_rates,
    tables,
    report,
    audit,
    export,
    preflight,
    # Tables take a second or two: not worth a job on a cluster. Fetching needs a network.
    fetch_package,
    build_pool,
    encode_sft,
    encode_prompts,
    encode_evaluation,
    check_splits,
    verify_responses,
    compute_rewards,
    measure_consistency,
    measure_agreement,
    build_pairs,
    make_tables,
    compare_models,
    measure_drift,
    tabulate_win_rates,
    measure_reward_quality,
    write_summary,
    draw_charts,
    make_report,
    audit_page,
    export_pairs,


rule all:
    default_target: True
    input:
        TABLES,
        SPLIT_CHECKS,
        REPORT,
        AUDIT,


rule assets:
    input:
        BASE_MODELS,
        REWARD_MODELS,


rule data:
    input:
        SPLITS,
        SPLIT_CHECKS,


rule sft:
    input:
        SFT_MODELS,


rule sample:
    input:
        SAMPLES,


rule score:
    input:
        LOGPROBS,


rule judge:
    input:
        OPINIONS,


rule consistency:
    input:
        CONSISTENCIES,
        AGREEMENTS,


rule pairs:
    input:
        PAIRS,


rule train:
    input:
        TRAINED_MODELS,


rule evaluate:
    input:
        EVALUATIONS,


rule win_rates:
    input:
        WIN_RATES,


rule tables:
    input:
        TABLES,


rule report:
    input:
        REPORT,


rule audit:
    input:
        AUDIT,


rule export:
    input:
        EXPORTS,


onstart:
    hold_results()


onsuccess:
    show_summary()
    show_stops(log)


onerror:
    show_stops(log)
