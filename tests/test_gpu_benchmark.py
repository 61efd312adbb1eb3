"""benchmarks/gpu.py runs with small sizes on any machine, and needs no more than it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ABSENT = ("pydantic", "apache_beam", "faiss", "typer")  # on the machine with the GPU


@pytest.mark.reference
@pytest.mark.slow
def test_the_gpu_benchmark_runs_small_without_the_projects_other_packages(tmp_path: Path) -> None:
    for package in ("torch", "transformers"):
        pytest.importorskip(package)
    script = (
        f"import runpy, sys\nfor name in {ABSENT!r}: sys.modules[name] = None\n"
        f"sys.argv = ['gpu.py', '--small', '--out', {str(tmp_path)!r}, '--part', 'hubert-base', '--part', 'kmeans']\n"
        "runpy.run_path('benchmarks/gpu.py', run_name='__main__')\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, timeout=600)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["failed"] == {}
    assert {row["dtype"] for row in found["units"]} >= {"fp32", "bf16"}
    assert all(row["times_real_time"] > 0 and row["padding"] >= 1 for row in found["units"])
    assert all(row["missed"] == 0 for row in found["misses"] if row["dtype"] == "fp32")
    assert found["kmeans"][0]["frames"] == 2000
    assert "| hubert-base, 2 | bf16 |" in (tmp_path / "gpu.md").read_text()


def test_operations_of_hubert_base_are_those_that_were_counted_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 s of HuBERT-base: 499 frames; front end 52 GFLOP, nine layers 65 GFLOP."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu

    from speechprep.pipelines.backends.extractors.hubert import HubertExtractor

    sizes = {"model_type": "hubert", "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    convolutions = {"conv_dim": [512] * 7, "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16}
    (tmp_path / "config.json").write_text(json.dumps({**sizes, **convolutions}))
    counts = [31999, 15999, 7999, 3999, 1999, 999, 499]
    front = 2 * 512 * (31999 * 10 + 512 * (3 * sum(counts[1:5]) + 2 * sum(counts[5:])))
    front += 2 * 499 * 768 * (512 + 768 // 16 * 128)
    layer = 499 * (4 * 2 * 768 * 768 + 2 * 2 * 768 * 3072) + 2 * 2 * 499 * 499 * 768
    found = gpu.operations(HubertExtractor(str(tmp_path), 9), 160_000)
    assert found == pytest.approx(front + 9 * layer, rel=1e-12)
