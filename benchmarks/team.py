"""The contenders' processes, seen from outside: only one of them runs at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from benchmarks.contenders import OURS, Contender
from benchmarks.job import Job

ROOT = Path(__file__).parents[1]
# OpenMP (PyTorch, ours), OpenBLAS and MKL (NumPy, scikit-learn), XLA (JAX).
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")


class Refused(Exception):
    """A contender cannot do what it was asked."""


def all_threads() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(threads: int) -> dict[str, str]:
    """The environment in which every library takes so many threads."""
    return {**os.environ, **dict.fromkeys(THREADS, str(threads))}


class Member:
    """A contender with a number of threads, in a process that is stopped when idle.

    `settings` are environment variables that its library reads.
    """

    def __init__(
        self,
        contender: Contender,
        threads: int,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.contender, self.threads = contender, threads
        self._cache = TemporaryDirectory()  # nothing compiled earlier is found in it
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.worker"),
                *(contender.module, contender.function),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **environment(threads),
                "TORCHINDUCTOR_CACHE_DIR": self._cache.name,
                "JAX_PLATFORMS": "cpu",
                **(settings or {}),
            },
            process_group=0,  # compilers that it starts stop with it
        )

    @property
    def name(self) -> str:
        """The contender, and for a peer its threads."""
        if self.contender is OURS:
            return OURS.name
        return f"{self.contender.name}, {self.threads} thread{'s' * (self.threads > 1)}"

    def ask(self, question: str, *arguments: Any) -> Any:
        """The answer of the contender's process; Refused where it has none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._signal(signal.SIGCONT)
        try:
            print(json.dumps([question, arguments]), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Refused(f"{self.name}: its process ended")
        self._signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(f"{self.name}: {answer['error']}")
        return answer["value"]

    def build(self, job: Job) -> float:
        """Have a job's net and arrays made; the seconds that it took."""
        seconds: float = self.ask("build", *astuple(job))
        return seconds

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End the process."""
        self._signal(signal.SIGKILL)
        self._process.communicate()
        self._cache.cleanup()

    def __enter__(self) -> Member:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Team:
    """Members that stay from job to job; the first is ours."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self.members = [Member(OURS, all_threads(), settings)]

    @property
    def ours(self) -> Member:
        """This library, with all threads."""
        return self.members[0]

    def join(self, contenders: Iterable[Contender]) -> None:
        """Start peers, each with one thread and with all, and wait until all are idle."""
        started = [
            Member(contender, threads, self._settings)
            for contender in contenders
            for threads in dict.fromkeys((1, all_threads()))
            if contender is not OURS
        ]
        self.members += started
        for member in started:
            with suppress(Refused):  # as its next question will be, with the reason
                member.ask("wait")

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for member in self.members:
            member.close()
