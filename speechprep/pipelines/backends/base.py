"""`Backend`: base class of all backends, with the check of packages that runs before a model is loaded."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, MissingBackend

Audio = NDArray[np.float32]  # (samples,) mono, in [-1, 1]

_DEVICE = re.compile(r"(auto|cpu|cuda|mps|xpu)(:\d+)?")


class Backend(ABC):
    """Base of aligners, extractors, embedders, image codecs and quantizers.

    The constructor takes plain parameters and is cheap. `load` imports packages and reads weights, once in each worker
    process if the backend is `thread_safe`, otherwise once in each thread. The result for one item is independent of
    its neighbours in a batch.

    Attributes:
        role: name of the family, for messages.
        name: registered name, for messages.
        packages: package -> extra of speechprep for its installation; "" without an extra.
        thread_safe: several threads may use one loaded backend at the same time. If False, each thread loads its own,
            and memory grows with the number of threads. A large model should be safe, with locks if its library needs
            them.
        attributes: names of the attributes of every instance, beside the abstract methods.
    """

    role: ClassVar[str] = "backend"
    name: ClassVar[str] = ""
    packages: ClassVar[Mapping[str, str]] = {}
    thread_safe: ClassVar[bool] = False
    attributes: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """The backend in messages, for example "extractor 'hubert'"."""
        return f"{self.role} {(self.name or type(self).__name__)!r}"

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Name, version, model and every parameter with an influence on a result; part of each fingerprint.

        It works before `load`.
        """

    def load(self) -> None:  # noqa: B027 - a backend without a model has nothing to load
        """Import heavy packages and read the model. Default: nothing to load."""

    def check(self) -> None:
        """Check everything `load` needs, without loading: packages, model files, option values.

        It imports no heavy package and downloads nothing. Default: the declared `packages` are installed.

        Raises:
            MissingBackend: a package or a model file is absent.
            ConfigError: an option value would fail later.
        """
        require_packages(self.label, self.packages)


def require_packages(label: str, packages: Mapping[str, str]) -> None:
    """Check the installation of packages, without importing them.

    Args:
        label: the backend in messages.
        packages: package -> extra for its installation, "" without an extra.

    Raises:
        MissingBackend: naming the first absent package and the command for its installation.
    """
    for package, extra in packages.items():
        if not installed(package):
            if extra:
                raise MissingBackend.package(label, package, extra)
            raise MissingBackend(f"{label} needs the package {package!r}; install it with: pip install {package}")


def check_device(label: str, device: str, *, auto: bool = True) -> None:
    """Check the form of a device name; the device itself is looked for by `load`.

    Args:
        label: the backend in messages.
        device: "cpu", "cuda", "cuda:1", "mps", "xpu", or "auto".
        auto: whether "auto" is allowed.

    Raises:
        ConfigError: another name.
    """
    if not isinstance(device, str) or not _DEVICE.fullmatch(device) or (device.startswith("auto") and not auto):
        choices = "'auto', 'cpu', 'cuda' or 'cuda:1'" if auto else "'cpu', 'cuda' or 'cuda:1'"
        raise ConfigError(f"{label}: device = {device!r}; choose {choices}")


def installed(package: str) -> bool:
    """True if a top-level package can be imported; it is not imported."""
    try:
        return find_spec(package) is not None
    except ValueError:  # a module without a specification, as some tests put into sys.modules
        return True


def joined(blocks: Iterable[Audio]) -> Audio:
    """All blocks of an utterance as one array (samples,)."""
    parts = list(blocks)
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
