"""Preference training: M{t} → M{t+1} on the pairs of iteration t.

    python scripts/train_policy.py --pairs …/iter1/pairs.parquet --start …/sft/M1/model \
        --base …/base/M0/model --type cream --beta 0.1 --max-epsilon 0.45 --learning-rate 1e-4 … \
        --model …/cream/M2/model

Minimises one of the losses of `cream/loss.py`, with the weight and the reference
log-probabilities that the pairs carry. The policy starts as its own reference, so the first loss
is known (log 2 for `dpo`, `cream` and `robust`): it is checked.
"""

from __future__ import annotations

from cream import stage
from cream.errors import UserError
from cream.processes import is_main_process
from cream.records import write_manifest
from cream.tables import PAIRS, read_table
from cream.training_flags import lora_of, optimisation_of

# How far the first loss may lie from what it must be: scoring and training batch differently, so their
# log-probabilities differ by the rounding of the forward pass.
FIRST_LOSS_TOLERANCE = {"bfloat16": 0.02, "float32": 1e-4}


def main(settings) -> dict:
    from cream.engines.base import ModelFiles
    from cream.engines.trainer import open_trainer
    from cream.loss import PreferenceLoss

    loss = PreferenceLoss(settings.type, settings.beta, settings.max_epsilon)
    pairs = read_table(settings.pairs, PAIRS)
    trainer = open_trainer(settings.engine, ModelFiles(settings.start, settings.base), settings.precision)
    if is_main_process():
        print(f"training on {len(pairs)} pairs, mean weight {pairs['weight'].mean():.3f}", flush=True)
    with stage.whole_folder(settings.model) as folder:
        steps = trainer.train_preferences(
            pairs.to_dict("records"), loss, optimisation_of(settings), lora_of(settings), folder
        )
        _check_first_loss(steps[0]["loss"], loss.at_start(steps[0]["weight"]), loss.steepness, settings)
    write_manifest(settings.model)
    return {"pairs": len(pairs), "first_loss": steps[0]["loss"], "steps": steps}


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
    stage.add_optimisation_flags(flags)
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C")
