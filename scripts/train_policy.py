"""Preference training: M{t} → M{t+1} on the pairs of iteration t.

    python scripts/train_policy.py --pairs …/iter1/pairs.parquet --start …/sft/M1/model \
        --base …/base/M0/model --type cream --beta 0.1 --max-epsilon 0.45 --learning-rate 1e-4 … \
        --model …/cream/M2/model

Minimises one of the losses of `cream/loss.py`, with the weight and the reference
log-probabilities that the pairs carry. The policy starts as its own reference, so the first loss
is known (log 2 for `dpo`, `cream` and `robust`): it is checked.
"""

from __future__ import annotations

import pandas as pd

from cream import stage
from cream.errors import UserError
from cream.phases import importing
from cream.processes import is_main_process
from cream.promises import TRAINED
from cream.records import write_manifest
from cream.seeds import stable_order
from cream.tables import PAIRS, read_table
from cream.training_flags import lora_of, optimisation_of

# How far the first loss may lie from what it must be: scoring and training batch differently, so their
# log-probabilities differ by the rounding of the forward pass.
FIRST_LOSS_TOLERANCE = {"bfloat16": 0.02, "float32": 1e-4}
# Nats a token that a reference computed again may lie from the stored one, for the same reason.
REFERENCE_TOLERANCE = {"bfloat16": 0.05, "float32": 1e-4}


def main(settings) -> dict:
    from cream.engines.base import ModelFiles
    from cream.engines.trainer import open_trainer

    with importing():
        from cream.loss import PreferenceLoss

    loss = PreferenceLoss(settings.type, settings.beta, settings.max_epsilon)
    pairs = read_table(settings.pairs, PAIRS)
    recomputed = _recompute_references(pairs, settings)
    trainer = open_trainer(settings.engine, ModelFiles(settings.start, settings.base), settings.precision)
    if is_main_process():
        print(f"training on {len(pairs)} pairs, mean weight {pairs['weight'].mean():.3f}", flush=True)
    with stage.whole_folder(settings.model) as folder:
        steps = trainer.train_preferences(
            pairs.to_dict("records"),
            loss,
            optimisation_of(settings),
            lora_of(settings),
            folder,
            stage.checkpoints(settings),
        )
        _check_first_loss(steps[0]["loss"], loss.at_start(steps[0]["weight"]), loss.steepness, settings)
    write_manifest(settings.model)
    return {"pairs": len(pairs), "first_loss": steps[0]["loss"], **recomputed, "steps": steps}


def _recompute_references(pairs: pd.DataFrame, settings) -> dict:
    """Score a seeded sample of the pairs under the starting policy and hold that against their columns."""
    wanted = settings.recomputed_references
    if not wanted:
        return {}
    from cream.engines.base import ModelFiles, ScoringGroup
    from cream.engines.scorer import open_scorer

    sample = sorted(pairs.to_dict("records"), key=lambda pair: stable_order(settings.seed, pair["prompt_id"]))[:wanted]
    groups = [ScoringGroup(pair["prompt_ids"], [pair["chosen_ids"], pair["rejected_ids"]]) for pair in sample]
    files = ModelFiles(settings.start, settings.base)
    scorer = open_scorer(settings.engine, [files], settings.precision)
    gaps = []
    for pair, sums in zip(sample, scorer.score(files, groups, 8, "recomputing references"), strict=True):
        for side, again in zip(("chosen", "rejected"), sums, strict=True):
            gap = abs(again - pair[f"ref_{side}_logps"]) / len(pair[f"{side}_ids"])
            gaps.append(gap)
            if not gap <= REFERENCE_TOLERANCE[settings.precision]:  # NaN stops too
                raise UserError(
                    f"{settings.pairs}, {pair['prompt_id']}: the {side} response's reference is "
                    f"{pair[f'ref_{side}_logps']:.4f}, computed again under {settings.start} it is {again:.4f}: "
                    "make the score tables and pairs of this iteration again"
                )
    if is_main_process():
        print(f"{len(gaps)} references computed again, at most {max(gaps):.1e} nats a token apart", flush=True)
    return {"references_recomputed": len(gaps), "largest_gap_per_token": max(gaps)}


def _check_first_loss(loss: float, expected: float, steepness: float, settings) -> None:
    gap = abs(loss - expected) / max(1.0, abs(expected), steepness)
    # Dropout makes the starting policy differ from its reference, so then it can't be checked.
    if settings.lora_dropout == 0 and not gap <= FIRST_LOSS_TOLERANCE[settings.precision]:  # NaN stops too
        raise UserError(
            f"the first loss is {loss:.4f}, not {expected:.4f}: {settings.pairs} was not scored under "
            f"{settings.start}; make the score tables and pairs of this iteration again"
        )


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--pairs", type=stage.input_path, required=True, help="weighted pairs")
    flags.add_argument("--start", type=stage.input_path, required=True, help="model to start from, M{t}")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--model", type=stage.output_path, required=True, help="folder to make")
    flags.add_argument(
        "--type", choices=["dpo", "cream", "signed", "ipo", "robust"], required=True, help="which loss (cream/loss.py)"
    )
    flags.add_argument("--beta", type=float, required=True, help="β of the loss")
    flags.add_argument("--max-epsilon", type=float, required=True, help="robust: the largest ε = 1 − C")
    flags.add_argument("--recomputed-references", type=int, default=0, help="pairs to score again first, as a check")
    stage.add_optimisation_flags(flags)
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=TRAINED)
