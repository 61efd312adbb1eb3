"""Models on a GPU: losses, gradients, generation and training are those of a CPU up to rounding."""

from __future__ import annotations

import copy
import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from helpers.small_decoders import dmlm, sutlm  # noqa: E402

from speechprep.models import losses  # noqa: E402
from speechprep.models.generation import Decoding, generate  # noqa: E402
from speechprep.models.sutlm.train import SutlmOptions, training_job  # noqa: E402
from speechprep.models.training.run import train  # noqa: E402

pytestmark = pytest.mark.gpu
DOCUMENTS = torch.tensor([[0] * 9 + [1] * 20 + [-1] * 3, [0] * 32, [-1] * 32])


def tokens(seed: int = 0) -> torch.Tensor:
    return torch.randint(4, 34, DOCUMENTS.shape, generator=torch.Generator().manual_seed(seed))


def results(model, device, kernel):
    model = copy.deepcopy(model).to(device).eval()
    model.attention = kernel
    ids, documents = tokens().to(device), DOCUMENTS.to(device)
    loss = model(ids, document_ids=documents, labels=ids).loss
    loss.backward()
    return [loss.detach().cpu(), *(p.grad.cpu() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("make", [sutlm, dmlm])
@pytest.mark.parametrize("kernel", ["dense", "flex", "split"])
@pytest.mark.parametrize("chunk", [1 << 27, 4 * 40 * 7])
def test_loss_and_gradients(gpu, make, kernel, chunk, monkeypatch):
    model = make()
    expected = results(model, "cpu", "dense")
    monkeypatch.setattr(losses, "LOGITS_BYTES", chunk)
    for a, b in zip(results(model, gpu, kernel), expected, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-3)  # TF32 of FlexAttention


@pytest.mark.parametrize("make", [sutlm, dmlm])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_a_step_in_each_precision_is_finite(gpu, make, precision):
    model, ids = make().to(gpu).train(), tokens().to(gpu)
    with torch.autocast(gpu, precision, enabled=precision != torch.float32):
        loss = model(ids, document_ids=DOCUMENTS.to(gpu), labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("how", [{}, {"beams": 2}])
def test_generation_from_prompts_of_several_lengths(gpu, how):
    model = sutlm().eval()
    allowed, prompts = torch.ones(model.config.vocab_size, dtype=torch.bool), [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
    expected = generate(model, prompts, allowed, 2, Decoding(max_new_tokens=4, **how))
    assert generate(copy.deepcopy(model).to(gpu), prompts, allowed.to(gpu), 2, Decoding(max_new_tokens=4, **how)) == (
        expected
    )


@pytest.mark.parametrize("options", [{}, {"checkpointing": True}, {"attention": "dense"}, {"precision": "fp32"}])
def test_training_with_documents_runs_stops_and_resumes(gpu, run, tmp_path, options):
    small = {
        "size": "tiny",
        "context": 64,
        "rows": 4,
        "steps": 6,
        "log_every": 1,
        "save_every": 3,
        "batch_tokens": None,
    }
    for stop in (3, None):
        chosen = SutlmOptions.of({"batch_tokens": None, **small, **options, "stop_at": stop})
        done = train(training_job([str(run)], chosen), chosen, tmp_path / "x", quiet=True)
        assert done == (stop is None)
    rows = [json.loads(line) for line in (tmp_path / "x" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["loss"] < rows[0]["loss"]
