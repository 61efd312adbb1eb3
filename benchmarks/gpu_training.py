"""Training with isolated documents on a GPU, beside the plain causal loop of the same model.

    python benchmarks/gpu_training.py --out FOLDER [--size 125m] [--context 2048] [--rows 8] [--steps 20]

Both loops have the same shapes, tokens, precision (bf16; fp32 on a CPU) and AdamW. `plain` is OPT of transformers with
its own causal attention and loss. `documents` is our SUTLM on rows packed with documents of 50 to 600 tokens, once for
each attention kernel. Writes FOLDER/training-SIZE-CONTEXT.json after each row. Needs PyTorch and transformers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import OPTForCausalLM

from speechprep.models.decoder import opt_config
from speechprep.models.sutlm.config import SutlmConfig
from speechprep.models.sutlm.model import SutlmForCausalLM

VOCABULARY = 42_000


def packed(rows: int, context: int, device: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens and document ids of full rows."""
    rng = np.random.default_rng(seed)
    documents = np.empty((rows, context), np.int64)
    for row in documents:
        edges = np.cumsum(rng.integers(50, 600, context // 50))
        row[:] = np.searchsorted(edges, np.arange(context), side="right")
    ids = rng.integers(4, VOCABULARY, (rows, context))
    return torch.from_numpy(ids).to(device), torch.from_numpy(documents).to(device)


def tokens_per_second(model: Any, loss: Callable[[int], Any], tokens: int, steps: int, device: str) -> dict[str, Any]:
    """Speed of `steps` updates after three more, and the peak of memory in GB."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = 0.0
    for step in range(-3, steps):
        if step == 0:
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss(step).backward()
        optimizer.step()
        optimizer.zero_grad()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None
    return {"tokens_per_second": tokens * steps / seconds, "memory_gb": memory}


def plain_loop(config: Any, batches: list[Any], device: str) -> tuple[Any, Callable[[int], Any]]:
    """OPT of transformers, and its causal loss in a step."""
    model = OPTForCausalLM(config).to(device)
    return model, lambda step: model(batches[step % 4][0], labels=batches[step % 4][0], use_cache=False).loss


def main() -> None:
    """Run the plain loop, then ours with each kernel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", default="125m")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.out.mkdir(parents=True, exist_ok=True)
    config = opt_config(args.size, VOCABULARY, args.context, dropout=0.0)
    batches = [packed(args.rows, args.context, device, seed) for seed in range(4)]
    tokens = args.rows * args.context
    rows: list[dict[str, Any]] = []
    where = args.out / f"training-{args.size}-{args.context}.json"

    def record(name: str, model: Any, loss: Callable[[int], Any]) -> None:
        try:
            row = tokens_per_second(model, loss, tokens, args.steps, device)
        except RuntimeError as error:
            row = {"failed": str(error).splitlines()[0][:200]}
        parameters = sum(p.numel() for p in model.parameters())
        rows.append({"loop": name, "size": args.size, "rows": args.rows, "context": args.context,
                     "parameters": parameters, **row})  # fmt: skip
        if "tokens_per_second" in row:  # 6 operations a parameter and token, attention not counted
            rows[-1]["tflops"] = 6 * parameters * row["tokens_per_second"] / 1e12
        where.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(rows[-1]), flush=True)

    torch.manual_seed(0)
    record("plain", *plain_loop(config, batches, device))
    for kernel in ("flex", "dense") if device == "cuda" else ("split", "dense"):
        half = VOCABULARY // 2
        torch.manual_seed(0)
        model = SutlmForCausalLM(
            SutlmConfig(decoder=config, vocabulary="v", ranges={"text": [4, half], "unit": [half, VOCABULARY]})
        ).to(device)
        model.attention = kernel

        def ours(step: int, model: Any = model) -> Any:
            ids, documents = batches[step % 4]
            return model(ids, document_ids=documents, labels=ids).loss

        record(f"documents, {kernel}", model, ours)
        del model


if __name__ == "__main__":
    main()
