"""Estimators as safetensors files: arrays and text, and nothing that could run.

A file holds the state that pickle would get: its arrays as tensors, all else as JSON in
the metadata. A checksum covers both.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from sklearn.utils.validation import check_is_fitted

from ._portable import ANEW, FITTED, Arrays, Code, check_fitted, decode, encode

if TYPE_CHECKING:
    from ._mixae import MixAEClustering

    Estimator = TypeVar("Estimator", bound=MixAEClustering)

__all__ = ["load", "save"]

FORMAT, FORMAT_VERSION = "skmixae", 1
# What building an estimator from the wrong pieces may raise.
_MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError)


def save(estimator: MixAEClustering, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to a safetensors file, which holds no code.

    All parameters and fitted attributes are kept, a stream of `partial_fit` and the
    choice of `set_output` included; callbacks are not. Of a factory of custom experts
    and of functions in ``consistency`` only the names are kept: `load` wants the code
    itself.

    Parameters
    ----------
    estimator : MixAEClustering
        A fitted estimator.
    path : path-like
        The file to write. An existing one is replaced only once the new one is
        complete.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    FileNotFoundError
        If there is no such folder.
    TypeError
        If a parameter is of a type that only pickle could store: a RandomState
        instance as ``random_state``, or a data frame. `set_params` can replace it by a
        number or an array before.
    ImportError
        If safetensors is not installed.

    See Also
    --------
    load : Read the file again.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import make_moons
    >>> from skmixae import MixAEClustering
    >>> X, _ = make_moons(100, noise=0.05, random_state=0)
    >>> model = MixAEClustering(n_clusters=2, max_epochs=1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "moons.safetensors")
    ...     again = MixAEClustering.load(Path(folder) / "moons.safetensors")
    >>> bool((again.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    check_is_fitted(estimator)
    state, tensors = estimator.__getstate__(), Arrays()
    content = {
        part: {n: encode(v, n, tensors) for n, v in state.items() if n in names}
        for part, names in _parts(type(estimator)).items()
    }
    _write(path, _metadata(type(estimator), json.dumps(content), tensors), tensors)


def load(
    cls: type[Estimator],
    path: str | os.PathLike[str],
    *,
    architecture: Callable[..., torch.nn.Module] | None = None,
    consistency: Callable | Sequence[Callable] | None = None,
) -> Estimator:
    """Read an estimator that `save` wrote.

    Parameters
    ----------
    cls : type
        The class of the estimator.
    path : path-like
        The file to read. Nothing that it names is imported or called.
    architecture : callable, optional
        The factory of custom experts, which a file cannot hold.
    consistency : callable or list of callable, optional
        The functions of your own in ``consistency``, in their order, which it cannot
        hold either.

    Returns
    -------
    estimator : MixAEClustering
        As it was saved, on the device that its parameter asks for, or on the processor
        where that device is not there.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one of `save`'s, is damaged or altered, is of a later format,
        or holds another class, or custom experts or functions that are not given.
    TypeError
        If ``architecture`` or ``consistency`` are not callable.
    ImportError
        If safetensors is not installed.

    See Also
    --------
    save : Write the file.
    """
    code = _checked(architecture, consistency)
    with open(path, "rb"):
        pass  # so that a missing file or a folder gives the system's own error
    try:
        parameters, fitted = _content(cls, *_read(path), code)
        estimator = cls(**parameters)
        estimator.__setstate__({**vars(estimator), **fitted})
    except ValueError as error:
        raise ValueError(f"Cannot load {os.fspath(path)!r}: {error}") from error
    except _MISFITS as error:
        raise ValueError(
            f"Cannot load {os.fspath(path)!r}: what it holds makes no estimator "
            f"({type(error).__name__}: {error}). {ANEW}"
        ) from error
    return estimator


def _checked(architecture: Any, consistency: Any) -> Code:
    """Return the code that `load` was given, or raise."""
    if architecture is not None and not callable(architecture):
        raise TypeError(
            "architecture must be the factory of custom experts, a callable. Got "
            f"{architecture!r} instead."
        )
    given = consistency if isinstance(consistency, list | tuple) else [consistency]
    functions = [] if consistency is None else list(given)
    if not all(map(callable, functions)):
        raise TypeError(
            "consistency must be the function of your own that the estimator has in "
            f"it, or a list of several. Got {consistency!r} instead."
        )
    return Code(architecture, functions)


def _parts(cls: type[MixAEClustering]) -> dict[str, set[str]]:
    """Return the names that each part of a file's content may hold."""
    return {"parameters": set(cls._get_param_names()), "fitted": set(FITTED)}


def _content(
    cls: type[MixAEClustering],
    metadata: dict[str, str],
    tensors: Arrays,
    code: Code,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters and the fitted attributes of a file, checked."""
    name = metadata["class"]
    if name != cls.__name__:
        raise ValueError(f"it holds a {name}. Load it with {name}.load.")
    content = json.loads(metadata["content"])
    for part, names in _parts(cls).items():
        unknown = sorted(content[part].keys() - names)
        if unknown:
            raise ValueError(
                f"{name} has no {part} named {', '.join(unknown)} here. The file is by "
                f"skmixae {metadata['skmixae_version']}: upgrade to that version."
            )
    parameters, fitted = (
        {n: decode(v, tensors, code) for n, v in content[part].items()}
        for part in ("parameters", "fitted")
    )
    if tensors:
        raise ValueError(f"nothing refers to its tensors {sorted(tensors)}. {ANEW}")
    check_fitted(fitted)
    used = parameters.get("architecture"), fitted["_network_spec"]["architecture"]
    if code.factory is not None and not any(value is code.factory for value in used):
        raise ValueError("it holds no custom experts. Leave architecture out.")
    if code.functions:
        raise ValueError(
            "its consistency has no place for "
            f"{', '.join(map(repr, code.functions))}. Leave that out."
        )
    return parameters, fitted


# -- the file -----------------------------------------------------------------------


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "save and load need safetensors: pip install skmixae[safetensors]"
        ) from error
    return safetensors


def _write(
    path: str | os.PathLike[str], metadata: dict[str, str], tensors: Arrays
) -> None:
    """Write beside the file, to replace it once all is on the disk."""
    content = _safetensors().numpy.save(tensors, metadata=metadata)
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():  # said of the draft, it would name a file of ours
        no_folder = os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, no_folder, str(target.parent))
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(draft, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, str], Arrays]:
    """Return metadata and tensors, of the right format and as they were written."""
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(os.fspath(path), framework="np") as file:
            metadata = file.metadata() or {}
            _check_format(metadata)  # before much is read of somebody else's file
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, AttributeError, TypeError) as error:
        raise ValueError(
            f"it is no whole safetensors file ({error}). {ANEW}"
        ) from error
    if _digest(metadata, tensors) != metadata.get("sha256"):
        raise ValueError(
            "it was damaged or altered after it was written: its checksum does not "
            f"match. {ANEW}"
        )
    return metadata, tensors


def _metadata(cls: type, content: str, tensors: Arrays) -> dict[str, str]:
    from . import __version__

    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "skmixae_version": __version__,
        "class": cls.__name__,
        "content": content,
    }
    return {**metadata, "sha256": _digest(metadata, tensors)}


def _check_format(metadata: dict[str, str]) -> None:
    from . import __version__

    if metadata.get("format") != FORMAT:
        raise ValueError(
            "it was not written by skmixae: its metadata lack the format "
            f"{FORMAT!r}. Load it with the library that wrote it."
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal():
        raise ValueError(f"its format version is {version!r}, no number. {ANEW}")
    if int(version) > FORMAT_VERSION:
        raise ValueError(
            f"it is of format version {version}, by skmixae "
            f"{metadata.get('skmixae_version')}, and skmixae {__version__} reads "
            f"versions up to {FORMAT_VERSION}. Upgrade skmixae."
        )


def _digest(metadata: dict[str, str], tensors: Arrays) -> str:
    """Return a checksum of all metadata but itself, and of all tensors."""
    digest = hashlib.sha256()
    for key in sorted(metadata.keys() - {"sha256"}):
        digest.update(json.dumps([key, metadata[key]]).encode())
    for name, array in sorted(tensors.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
