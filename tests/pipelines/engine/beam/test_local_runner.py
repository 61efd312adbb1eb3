"""Holds the private names of Beam on which the local runner rests, one by one."""

from __future__ import annotations

import inspect
import logging

import pytest

logging.getLogger().addHandler(logging.NullHandler())


@pytest.fixture(scope="module")
def beam():
    return pytest.importorskip("apache_beam")


def test_beam_is_of_the_line_that_the_package_pins(beam):
    assert beam.__version__.startswith("2.77.")


def test_worker_handlers_start_workers_by_the_method_that_is_replaced(beam):
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    source = inspect.getsource(worker_handlers.SubprocessSdkWorkerHandler.start_worker)
    for name in ("_worker_command_line", "control_address", "provision_info", "worker_id", "self.worker_thread"):
        assert name in source
    assert "self.worker_thread.join()" in inspect.getsource(worker_handlers.SubprocessSdkWorkerHandler.stop_worker)
    assert "_push_queue" in inspect.getsource(worker_handlers.ControlConnection)


def test_open_instructions_are_kept_where_the_runner_answers_them(beam):
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    assert "_futures_by_id" in inspect.getsource(worker_handlers.ControlConnection)
    assert callable(worker_handlers.ControlFuture("1").set)
    assert worker_handlers.ControlFuture("1", "answer").get() == "answer"
    assert "self.push(" in inspect.getsource(worker_handlers.ControlConnection.close)
    assert worker_handlers.BeamFnControlServicer._DONE_MARKER is not None


def test_logs_of_workers_come_in_by_the_servicer_that_is_replaced(beam):
    from apache_beam.runners.portability import local_job_service
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    assert "local_job_service.BeamFnLoggingServicer" in inspect.getsource(worker_handlers) or (
        "BeamFnLoggingServicer" in inspect.getsource(worker_handlers)
    )
    assert hasattr(local_job_service.BeamFnLoggingServicer, "Logging")


def test_a_pipeline_runs_in_each_mode_and_leaves_beam_as_it_was(beam, tmp_path):
    from apache_beam.runners.portability import local_job_service
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    from speechprep.pipelines.engine.beam.local_runner import LocalRunner

    before = (worker_handlers.SubprocessSdkWorkerHandler.start_worker, local_job_service.BeamFnLoggingServicer)
    for mode, workers in (("inline", 1), ("thread", 2)):
        runner = LocalRunner(mode, workers)
        out = tmp_path / mode
        out.mkdir()
        with beam.Pipeline(runner=runner, options=runner.options) as p:
            _ = p | beam.Create([1, 2, 3]) | beam.Map(lambda n, to=out: (to / str(n)).touch())
        assert sorted(f.name for f in out.iterdir()) == ["1", "2", "3"]
    assert (worker_handlers.SubprocessSdkWorkerHandler.start_worker, local_job_service.BeamFnLoggingServicer) == before
