"""The notebook and the Python of docs/python.md run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from speechprep.demo import corpus_path

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs_in_order(capsys):
    notebook = json.loads((ROOT / "examples" / "notebook.ipynb").read_text())
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "notebook", "exec"), names)
    assert "s of audio" in capsys.readouterr().out
    shutil.rmtree(names["out"].parent)


@pytest.mark.slow
def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text().splitlines()]
    spoken = [row for row in rows if row.get("text")][:8]
    (tmp_path / "corpus").mkdir()
    for number, row in enumerate(spoken):
        name = "118-47824-0000" if number == 0 else Path(row["audio"]).stem
        shutil.copy(corpus_path() / row["audio"], tmp_path / "corpus" / f"{name}.opus")
        (tmp_path / "corpus" / f"{name}.txt").write_text(row["text"])
    shutil.copy(corpus_path() / spoken[0]["audio"], tmp_path / "clip.flac")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    names: dict = {}
    for block in blocks:
        if "speechprep.vectors" in block:
            continue  # `vectors` and `clips` are no steps of the recipe `speech`
        code = block.replace('"THE TEXT OF THE CLIP"', repr(spoken[0]["text"]))
        code = code.replace('{"k": 200}}', '{"k": 20}, "subword": {"unit_vocab_size": 60, "text_vocab_size": 290}}')
        exec(compile(code, "docs/python.md", "exec"), names)
    assert names["row"]["id"] == "118-47824-0000"
    assert len(names["texts"]) == 8
    assert len(names["units"]) > 50
