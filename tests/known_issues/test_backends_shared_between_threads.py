"""One PocketSphinx decoder served all threads of a worker: Prism and Flink ended in a segmentation fault."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import toy_backends
from helpers import toy_stages as toy

from speechprep.artifacts.media import audio
from speechprep.demo import corpus_path
from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.execute import execute
from speechprep.pipelines.engine.loaded import loaded_backend
from speechprep.pipelines.engine.plan import Step, prepare
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.pipelines.stages import align

THREADS = 4


@pytest.fixture
def tasks(tmp_path):
    numbers = str(tmp_path / "numbers")
    run_steps([Step("count", toy.COUNT, toy.COUNT.configure({"shards": 16}), 0, {}, numbers, ["nowhere"])], Options())

    def make(stage):
        step = Step("use", stage, stage.configure({}), 0, {"numbers": numbers}, str(tmp_path / stage.name[-5:]))
        stage.backend(None, {}).loads.clear()
        return prepare(step, work=str(tmp_path / "work")).tasks

    return make


def at_the_same_time(work, items) -> list:
    """What `work` returns for each item, run in threads that begin together."""
    barrier = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS, initializer=barrier.wait) as pool:
        return list(pool.map(work, items))


def test_each_thread_loads_a_backend_that_is_not_thread_safe(tasks):
    at_the_same_time(execute, tasks(toy_backends.ALONE))
    loads = toy_backends.OneThread.loads
    assert 1 < len(loads) <= THREADS
    assert len({backend.thread for backend in loads}) == len(loads), "no thread loads it twice"


def test_all_threads_share_a_backend_that_is_thread_safe(tasks):
    at_the_same_time(execute, tasks(toy_backends.SHARED))
    assert len(toy_backends.ManyThreads.loads) == 1


def test_the_local_runner_gives_each_of_its_threads_a_backend(tasks, tmp_path):
    tasks(toy_backends.ALONE_TOO)
    stage = toy_backends.ALONE_TOO
    step = Step("use", stage, stage.configure({}), 0, {"numbers": str(tmp_path / "numbers")}, str(tmp_path / "used"))
    run_steps([step], Options(engine=Engine(workers=THREADS)))
    assert len(toy_backends.OneThread.loads) == THREADS


def test_the_backend_of_a_thread_is_released_with_the_thread():
    def load() -> None:
        alive.append(weakref.ref(loaded_backend("helpers.toy_backends:ALONE", "{}", "{}")))

    alive: list[weakref.ref] = []
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    toy_backends.OneThread.loads.clear()
    gc.collect()
    assert alive[0]() is None


def test_backends_of_two_stages_stay_in_memory():
    def load(extras: str) -> weakref.ref:
        return weakref.ref(loaded_backend("helpers.toy_backends:ALONE", "{}", extras))

    alive = [load(f'{{"{i}": {{}}}}') for i in range(3)]
    toy_backends.OneThread.loads.clear()
    gc.collect()
    assert [backend() is not None for backend in alive] == [False, True, True]


def test_pocketsphinx_in_several_threads_gives_the_words_of_one_thread():
    rows = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    clips = [(audio.decode(corpus_path() / row["audio"], sample_rate=16_000), row["text"]) for row in rows]
    config = json.dumps(align.Config().model_dump(mode="json"))

    def aligned(clip):
        return loaded_backend("align", config, "{}").align(*clip)

    spoken = [clip for clip in clips if clip[1]][:12]
    assert at_the_same_time(aligned, spoken) == [aligned(clip) for clip in spoken]
