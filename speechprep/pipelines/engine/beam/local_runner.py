"""Local runner: the in-process runner of Beam (FnApiRunner) with detection of dead worker processes.

With FnApiRunner alone a job hangs after the death of a worker process. Here every open request to a dead worker ends
with an error, raised as `WorkerDied`. Nothing is downloaded, in contrast to DirectRunner. Worker processes are fresh
interpreters, not forks.

The module uses private names of Beam 2.77, the pinned version. `tests/pipelines/engine/beam/test_local_runner.py`
checks each of them.
"""

from __future__ import annotations

import logging
import shlex
import sys
import threading
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_provision_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.worker import sdk_worker
from apache_beam.transforms import environments

from speechprep.pipelines.engine.failures import WorkerDied

MODES = {"inline": "in_memory", "thread": "multi_threading", "process": "in_memory"}


class LocalRunner(fn_runner.FnApiRunner):
    """Runs tasks in this thread ("inline"), in N threads of this process ("thread") or in N processes ("process")."""

    def __init__(self, mode: str, workers: int) -> None:
        self.options = PipelineOptions(
            [f"--direct_running_mode={MODES[mode]}", f"--direct_num_workers={1 if mode == 'inline' else workers}"]
        )
        environment = None
        if mode == "process":
            # `exec`: the worker replaces the shell of Beam, which would otherwise outlive it and print
            command = f"exec {shlex.quote(sys.executable)} -m speechprep.pipelines.engine.beam.worker"
            environment = environments.SubprocessSDKEnvironment.from_command_string(command)
        encoded = JobServiceHandle.encode_pipeline_options({})
        super().__init__(
            default_environment=environment,
            provision_info=fn_runner.ExtendedProvisionInfo(
                beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
            ),
        )

    def run_pipeline(self, pipeline: Any, options: PipelineOptions) -> Any:
        """Run a pipeline as FnApiRunner does, without worker logs on the terminal.

        Raises:
            WorkerDied: a worker process ended before its answer.
        """
        deaths: list[str] = []
        with _Patched(deaths):
            try:
                return super().run_pipeline(pipeline, options)
            except RuntimeError:
                if deaths:
                    raise WorkerDied("; ".join(deaths)) from None
                raise


class _Patched:
    """Replaces two classes of Beam during one pipeline, and suppresses the tracebacks of its worker threads.

    The terminal shows the error in one line.
    """

    def __init__(self, deaths: list[str]) -> None:
        self.deaths = deaths

    def __enter__(self) -> None:
        handler = worker_handlers.SubprocessSdkWorkerHandler
        self.saved = (handler.start_worker, handler.stop_worker, local_job_service.BeamFnLoggingServicer)
        self.level = logging.getLogger("apache_beam").level
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
        handler.start_worker = _starter(self.deaths)
        handler.stop_worker = _stop_worker
        local_job_service.BeamFnLoggingServicer = _quiet_servicer()
        sdk_worker.print = lambda *_, **__: None

    def __exit__(self, *_: object) -> None:
        handler = worker_handlers.SubprocessSdkWorkerHandler
        handler.start_worker, handler.stop_worker, servicer = self.saved
        local_job_service.BeamFnLoggingServicer = servicer
        logging.getLogger("apache_beam").setLevel(self.level)
        del sdk_worker.print


def _starter(deaths: list[str]) -> Any:
    """A `start_worker` that answers every open or later request to a dead worker with an error."""

    def start_worker(handler: Any) -> None:
        worker = local_job_service.SubprocessSdkWorker(
            handler._worker_command_line, handler.control_address, handler.provision_info, handler.worker_id
        )

        def run() -> None:
            try:
                worker.run()
            except RuntimeError as error:
                deaths.append(str(error))
            _answer_for_dead_worker(handler.control_conn)

        handler.worker = worker
        handler.worker_thread = threading.Thread(name="run_worker", target=run, daemon=True)
        handler.worker_thread.start()

    return start_worker


def _stop_worker(handler: Any) -> None:
    """Stop a worker and wait for its end. The worker may still be starting, so the stop is queued."""
    handler.control_conn._push_queue.put(worker_handlers.BeamFnControlServicer._DONE_MARKER)
    handler.worker_thread.join()


def _answer_for_dead_worker(connection: Any) -> None:
    """Answer the requests of a connection without a worker; a wait on them would never end."""
    push = connection.push

    def answer(id: str) -> Any:
        return beam_fn_api_pb2.InstructionResponse(instruction_id=id, error="worker died")

    def refuse(request: Any) -> Any:
        if request is worker_handlers.BeamFnControlServicer._DONE_MARKER:
            return push(request)
        return worker_handlers.ControlFuture(request.instruction_id, answer(request.instruction_id))

    connection.push = refuse
    for id, future in list(connection._futures_by_id.items()):
        if not future.is_done():
            future.set(answer(id))


def _quiet_servicer() -> Any:
    class Quiet(local_job_service.BeamFnLoggingServicer):
        """Discards the logs of workers; failures reach the driver as marked errors."""

        def Logging(self, bundles: Any, context: Any = None) -> Any:  # noqa: N802 - name in gRPC
            for _ in bundles:
                pass
            return iter(())

    return Quiet
