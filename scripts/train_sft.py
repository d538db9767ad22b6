"""Supervised fine-tuning: M0 → M1 on the seed data.

    python scripts/train_sft.py --split results/MODEL/data/sft.parquet --start results/MODEL/base/M0/model \
        --base results/MODEL/base/M0/model --learning-rate 1e-3 … --model results/MODEL/seed1/sft/M1/model

Only response tokens carry a label (paper, "Supervised fine-tuning").
"""

from __future__ import annotations

from cream import stage
from cream.processes import is_main_process
from cream.promises import TRAINED
from cream.records import write_manifest
from cream.tables import SPLIT, read_table
from cream.training_flags import lora_of, optimisation_of


def main(settings) -> dict:
    from cream.engines.base import ModelFiles
    from cream.engines.trainer import open_trainer

    split = read_table(settings.split, SPLIT)
    examples = list(zip(split["prompt_ids"], split["target_ids"], strict=True))
    trainer = open_trainer(settings.engine, ModelFiles(settings.start, settings.base), settings.precision)
    if is_main_process():
        print(f"fine-tuning on {len(examples)} examples", flush=True)
    with stage.whole_folder(settings.model) as folder:
        steps = trainer.finetune(
            examples, optimisation_of(settings), lora_of(settings), folder, stage.checkpoints(settings)
        )
    write_manifest(settings.model)
    return {"examples": len(examples), "steps": steps}


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    flags.add_argument("--split", type=stage.input_path, required=True, help="encoded seed data")
    flags.add_argument("--start", type=stage.input_path, required=True, help="model to start from (M0)")
    flags.add_argument("--base", type=stage.input_path, required=True, help="M0, which adapters add to")
    flags.add_argument("--model", type=stage.output_path, required=True, help="folder to make")
    stage.add_optimisation_flags(flags)
    stage.add_run_flags(flags)
    stage.run(flags, main, determinism="C", tolerance=TRAINED)
