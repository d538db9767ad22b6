"""What counts as a change of a stage's code or packages. Each case runs on a copy, in its own process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

# Prints code digests and packages of every script of a copied tree, when run on an engine.
ASK = """
import json, sys
from pathlib import Path
from cream import fingerprint
scripts = Path(sys.argv[1])
assert fingerprint.LIBRARY == scripts.resolve(), fingerprint.LIBRARY
facts = {"code": fingerprint.code_digest}
if sys.argv[2] == "all":
    facts |= {"environment": fingerprint.environment_digest, "packages": fingerprint.stage_packages}
engine, *names = sys.argv[3:]
print(json.dumps({fact: {name: ask(scripts / name, engine) for name in names} for fact, ask in facts.items()}))
"""


SEED_USERS = {
    "sample_responses.py",
    "build_pool.py",
    "judge_responses.py",
    "compute_rewards.py",
    "measure_agreement.py",
    "measure_reward_quality.py",
    "train_sft.py",
    "train_policy.py",
}


SAMPLING = {"sample_responses.py", "judge_responses.py", "evaluate_model.py"}
SAMPLING |= {"answer_instructions.py", "judge_answers.py"}
SCORING = {"score_responses.py", "score_reward_bench.py", "evaluate_model.py", "judge_answers.py"}


def asked(
    scripts: Path, what: str, names: list[str], *more_path: Path, engine: str = "transformers"
) -> dict[str, dict]:
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(scripts), what, engine, *names],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [*more_path, scripts])),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def code(scripts: Path, engine: str = "transformers") -> dict[str, str]:
    """Of every stage; scripts that make nothing (plan.py, preflight.py) are none."""
    stages = [path.name for path in scripts.glob("*.py") if "stage.run(" in path.read_text(encoding="utf-8")]
    return asked(scripts, "code", sorted(stages), engine=engine)["code"]


def copied(scripts: Path, to: Path) -> Path:
    return shutil.copytree(scripts, to, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy for all tests here, so that work on the project meanwhile can't mix into them."""
    return copied(PROJECT / "scripts", tmp_path_factory.mktemp("untouched") / "scripts")


@pytest.fixture(scope="module")
def original(untouched: Path) -> dict[str, str]:
    return code(untouched)


@pytest.fixture
def scripts(untouched: Path, tmp_path: Path) -> Path:
    """A copy to edit."""
    return copied(untouched, tmp_path / "project/scripts")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} has changed: give this test another place to edit"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def changed(original: dict[str, str], scripts: Path, engine: str = "transformers") -> set[str]:
    now = code(scripts, engine)
    assert set(now) == set(original)
    return {name for name in now if now[name] != original[name]}


def test_the_folder_a_project_lies_in_does_not_count(original: dict[str, str], scripts: Path) -> None:
    assert code(scripts) == original
    assert len(set(original.values())) == len(original), "every script has its own code"


def test_comments_docstrings_and_blank_lines_do_not_count(original: dict[str, str], scripts: Path) -> None:
    errors = scripts / "cream/errors.py"
    edit(errors, '"""The errors that end', '"""Another explanation of the errors that end')
    edit(errors, '"""A mistake', '"""Some mistake')
    edit(scripts / "cream/seeds.py", '"""64-bit seed', '"""A 64-bit seed')
    for path in scripts.rglob("*.py"):
        path.write_text(
            "# a new comment\n\n" + path.read_text(encoding="utf-8") + "\n\n\n# and another\n", encoding="utf-8"
        )
    edit(scripts / "cream/loss.py", "return -(", "return -(  # so it is\n        ")
    assert changed(original, scripts) == set()


def test_a_changed_constant_counts_where_its_module_is_used(original: dict[str, str], scripts: Path) -> None:
    edit(scripts / "cream/seeds.py", ".digest()[:8]", ".digest()[:4]")
    assert changed(original, scripts) == SEED_USERS


def test_a_changed_text_that_is_no_docstring_counts(original: dict[str, str], scripts: Path) -> None:
    edit(scripts / "measure_consistency.py", "without C: ", "no C: ")
    assert changed(original, scripts) == {"measure_consistency.py"}


@pytest.mark.parametrize(
    ("module", "old", "new", "only"),
    [
        (
            "rewards.py",
            '["logprob_sum"] - ',
            '["logprob_sum"] + ',
            "compute_rewards.py measure_agreement.py measure_reward_quality.py",
        ),
        ("ranking_accuracy.py", "0.5 *", "0.4 *", "measure_agreement.py measure_reward_quality.py"),
        ("pairs.py", "idxmax", "idxmin", "build_pairs.py"),
        ("intervals.py", "batch=1000", "batch=999", "make_tables.py measure_drift.py measure_reward_quality.py"),
        ("answers.py", "- 1 if", "- 2 if", "evaluate_model.py verify_responses.py"),
    ],
)
def test_a_module_changes_the_scripts_that_use_it_alone(
    original: dict[str, str], scripts: Path, module: str, old: str, new: str, only: str
) -> None:
    edit(scripts / "cream" / module, old, new)
    assert changed(original, scripts) == set(only.split())


def test_an_edited_script_changes_itself_alone(original: dict[str, str], scripts: Path) -> None:
    (scripts / "train_sft.py").write_text((scripts / "train_sft.py").read_text(encoding="utf-8") + "\nEXTRA = 1\n")
    assert changed(original, scripts) == {"train_sft.py"}


def test_training_code_changes_no_sampling_and_no_scoring(original: dict[str, str], scripts: Path) -> None:
    for module in ("engines/hf_training.py", "engines/trainer.py", "training_flags.py", "loss.py"):
        path = scripts / "cream" / module
        path.write_text(path.read_text(encoding="utf-8") + "\nEXTRA = 1\n", encoding="utf-8")
    assert changed(original, scripts) == {"train_sft.py", "train_policy.py"}


def test_sampling_code_changes_no_training(original: dict[str, str], scripts: Path) -> None:
    path = scripts / "cream/engines/hf_sampling.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nEXTRA = 1\n", encoding="utf-8")
    assert changed(original, scripts) == SAMPLING


def test_the_task_files_of_benchmarks_change_evaluation_alone(original: dict[str, str], scripts: Path) -> None:
    edit(scripts / "cream/harness/number.yaml", "version: 1.0", "version: 2.0")
    assert changed(original, scripts) == {"evaluate_model.py"}


def test_what_all_scripts_import_changes_all(original: dict[str, str], scripts: Path) -> None:
    edit(scripts / "cream/stage.py", "0o644", "0o600")
    assert changed(original, scripts) == set(original)


@pytest.mark.parametrize("module", ["__init__.py", "base.py"])
def test_what_all_engines_share_changes_the_stages_that_run_a_model_alone(
    original: dict[str, str], scripts: Path, module: str
) -> None:
    # A package's marker counts because importing runs it.
    path = scripts / "cream/engines" / module
    path.write_text(path.read_text(encoding="utf-8") + "\nEXTRA = 1\n", encoding="utf-8")
    found = changed(original, scripts)
    assert {"sample_responses.py", "score_responses.py", "train_policy.py"} <= found
    assert not {"compute_rewards.py", "build_pairs.py", "measure_consistency.py"} & found


@pytest.fixture(scope="module")
def original_on_vllm(untouched: Path) -> dict[str, str]:
    return code(untouched, "vllm")


TRAINING = {"train_sft.py", "train_policy.py"}


@pytest.mark.parametrize(
    ("module", "on_transformers", "on_vllm"),
    [
        ("vllm_sampling.py", set(), SAMPLING),
        ("vllm_scoring.py", set(), SCORING),
        ("vllm_serving.py", set(), SAMPLING | SCORING),
        ("hf_sampling.py", SAMPLING, set()),
        ("hf_scoring.py", SCORING | {"train_policy.py"}, set()),  # training computes references again
        ("hf_models.py", SAMPLING | SCORING | TRAINING, set()),
    ],
)
def test_an_engines_code_changes_the_stages_that_run_on_it_alone(
    original: dict[str, str],
    original_on_vllm: dict[str, str],
    scripts: Path,
    module: str,
    on_transformers: set[str],
    on_vllm: set[str],
) -> None:
    path = scripts / "cream/engines" / module
    path.write_text(path.read_text(encoding="utf-8") + "\nEXTRA = 1\n", encoding="utf-8")
    assert changed(original, scripts, "transformers") == on_transformers
    # Nothing is trained on vllm, whatever its digest would be.
    assert changed(original_on_vllm, scripts, "vllm") - TRAINING == on_vllm


def test_the_engine_of_a_stage_is_part_of_its_code(original: dict[str, str], original_on_vllm: dict[str, str]) -> None:
    moved = {name for name in original if original[name] != original_on_vllm[name]}
    assert moved >= SAMPLING | SCORING
    assert not {"compute_rewards.py", "build_pairs.py", "merge_shards.py", "measure_consistency.py"} & moved


@pytest.mark.parametrize(
    "statement", ["from cream import extra", "import cream.extra", "from cream.extra import N", "from .extra import N"]
)
def test_an_import_is_followed_in_whatever_form_it_is_written(scripts: Path, statement: str) -> None:
    extra = scripts / "cream/extra.py"
    extra.write_text("N = 1\n")
    # Inside a function, as the engines are imported.
    seeds = scripts / "cream/seeds.py"
    seeds.write_text(seeds.read_text(encoding="utf-8") + f"\n\ndef late():\n    {statement}\n", encoding="utf-8")
    before = code(scripts)
    extra.write_text("N = 2\n")
    assert changed(before, scripts) == SEED_USERS


def installed(folder: Path, name: str, version: str, module: str, requires: tuple[str, ...] = ()) -> None:
    """What pip leaves behind of a package that holds one module."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    (info / "top_level.txt").write_text(f"{module}\n")
    (info / "RECORD").write_text(f"{module}.py,,\n")
    (folder / f"{module}.py").write_text("")


def environment(scripts: Path, site: Path, versions: dict[str, str]) -> dict[str, dict]:
    """Facts about two scripts with made-up packages: alpha, imported by one, needs beta_lib; gamma
    is an extra of alpha; pytest stands for all that nobody needs."""
    shutil.rmtree(site, ignore_errors=True)
    installed(site, "Alpha", versions["alpha"], "alphamodule", ("Beta.Lib>=1", 'gamma; extra == "more"'))
    installed(site, "beta_lib", versions["beta"], "betamodule")
    installed(site, "gamma", versions["gamma"], "gammamodule")
    installed(site, "pytest", versions["pytest"], "pytestmodule")
    return asked(scripts, "all", ["measure_consistency.py", "compute_rewards.py"], site)


def test_the_packages_of_a_stage_are_those_it_imports_and_their_needs(scripts: Path, tmp_path: Path) -> None:
    edit(scripts / "cream/consistency.py", "import math", "import math\nimport alphamodule")
    versions = {"alpha": "1.0", "beta": "2.0", "gamma": "3.0", "pytest": "4.0"}
    site = tmp_path / "site"
    before = environment(scripts, site, versions)
    packages = before["packages"]["measure_consistency.py"]
    assert (packages["alpha"], packages["beta-lib"]) == ("1.0", "2.0")
    assert not {"gamma", "pytest", "ruff", "snakemake", "torch"} & set(packages)
    assert {"numpy", "scipy", "pandas", "pyarrow"} <= set(packages)
    assert "alpha" not in before["packages"]["compute_rewards.py"]

    def moved(package: str) -> set[str]:
        now = environment(scripts, site, {**versions, package: "99.0"})["environment"]
        return {name for name, digest in now.items() if digest != before["environment"][name]}

    assert moved("alpha") == {"measure_consistency.py"}
    assert moved("beta") == {"measure_consistency.py"}
    assert moved("gamma") == set()
    assert moved("pytest") == set()


def test_a_stages_packages_leave_out_what_only_other_stages_need(untouched: Path) -> None:
    names = ["sample_responses.py", "train_policy.py", "build_pairs.py", "measure_consistency.py"]
    packages = {name: set(found) for name, found in asked(untouched, "all", names)["packages"].items()}
    assert {"torch", "transformers"} <= packages["sample_responses.py"]
    assert "trl" in packages["train_policy.py"]
    assert "trl" not in packages["sample_responses.py"]
    assert not {"torch", "transformers", "trl"} & packages["build_pairs.py"]
    for found in packages.values():
        assert not {"pytest", "hypothesis", "ruff", "snakemake"} & found


def test_an_engines_packages_count_for_the_stages_that_run_on_it_alone(untouched: Path, tmp_path: Path) -> None:
    names = ["sample_responses.py", "score_responses.py", "judge_responses.py", "evaluate_model.py", "build_pairs.py"]

    def facts(engine: str, version: str) -> dict[str, dict]:
        site = tmp_path / version
        if not site.exists():
            installed(site, "vllm", version, "vllm", ("Alpha>=1",))
            installed(site, "Alpha", version, "alphamodule")
        return asked(untouched, "all", names, site, engine=engine)

    found = {(engine, version): facts(engine, version) for engine in ("transformers", "vllm") for version in "12"}
    plain, served = found["transformers", "1"]["packages"], found["vllm", "1"]["packages"]
    for name in names[:-1]:
        assert "peft" in plain[name] and not {"vllm", "alpha"} & set(plain[name])
        assert "peft" not in served[name] and served[name]["vllm"] == served[name]["alpha"] == "1"
    assert plain["build_pairs.py"] == served["build_pairs.py"]

    def moved(engine: str) -> set[str]:
        before, after = (found[engine, version]["environment"] for version in "12")
        return {name for name in names if before[name] != after[name]}

    assert moved("vllm") == set(names[:-1])
    assert moved("transformers") == set()


def test_packages_are_the_same_whenever_they_are_asked_for(scripts: Path) -> None:
    """setuptools puts packages of its own on the path once something imports it, and training does."""
    later = ASK.replace(
        "facts = {", "import setuptools\nassert any('_vendor' in place for place in sys.path)\nfacts = {", 1
    )
    found = []
    for code in (ASK, later):
        command = [sys.executable, "-c", code, str(scripts), "all", "transformers", "judge_answers.py"]
        env = {**os.environ, "PYTHONPATH": str(scripts)}
        found.append(json.loads(subprocess.run(command, env=env, capture_output=True, check=True).stdout)["packages"])
    assert found[0] == found[1]
