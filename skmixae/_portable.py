"""The state of an estimator as arrays and JSON, and back, without trust.

What JSON has no word for is an object of one key: ``{"tuple": [...]}``, ``{"dict":
{...}}``, ``{"scalar": ["float32", 0.5]}``, ``{"array": "labels_"}`` (a tensor's name),
``{"columns": ...}`` (a structured array), ``{"texts": [...]}`` (an array of text),
``{"change": ["jitter", {...}]}`` (a member of `skmixae.consistency` and its settings),
and ``{"factory": "module.name"}`` and ``{"function": "module.name"}`` (code of the
user's, by a name for people to read; nothing is imported).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._outcome import Watch
from ._stream import StreamState
from .consistency import MEMBERS
from .network import NetworkSpec, build_network
from .objective import LOSSES, SCHEDULES
from .training import Moments, channels_first

Arrays = dict[str, NDArray]

ANEW = "Save the estimator again, or fetch the file again from where it came."

# The types that numpy and safetensors have in common.
_DTYPES = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
}  # fmt: skip
# What a file may name of skmixae.consistency.
_NAMES = {member: name for name, member in MEMBERS.items()}
# What schedules remember, as a Stream notes it.
_MEMORIES = {(schedule.remembers,) for schedule in SCHEDULES.values()}
# What Adam keeps for each weight, as a Stream notes it.
_ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Code:
    """What a file names and cannot hold, as `load` was given it."""

    factory: Callable | None = None  # of custom experts
    functions: list[Callable] = field(default_factory=list)  # in consistency, in order


def encode(value: Any, name: str, tensors: Arrays) -> Any:
    """Return what JSON can hold of a value, and add its arrays to ``tensors``.

    Raises
    ------
    TypeError
        If only pickle could store it. The message names the parameter, the first part
        of ``name``.
    """
    if isinstance(value, np.generic) and value.dtype.name in _DTYPES:
        return {"scalar": [value.dtype.name, value.item()]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return _encode_array(value, name, tensors)
    if isinstance(value, dict):
        items = {n: encode(v, f"{name}/{n}", tensors) for n, v in value.items()}
        return {"dict": items}
    if isinstance(value, list | tuple):
        values = [encode(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]
        return values if isinstance(value, list) else {"tuple": values}
    if type(value) in _NAMES:
        settings = encode(vars(value), name, tensors)
        return {"change": [_NAMES[type(value)], settings]}
    if callable(value) and name.endswith("architecture"):
        return {"factory": _label(value)}
    if callable(value) and name.split("/")[0] == "consistency":
        return {"function": _label(value)}
    raise _unstorable(value, name)


def _label(code: Any) -> str:
    label = getattr(code, "__qualname__", type(code).__qualname__)
    return f"{getattr(code, '__module__', '')}.{label}"


def _encode_array(value: NDArray, name: str, tensors: Arrays) -> Any:
    if value.dtype.names:
        columns = {n: value[n] for n in value.dtype.names}
        return {"columns": encode(columns, name, tensors)}
    if value.dtype.name in _DTYPES:
        native = value.dtype.newbyteorder("=")
        tensors[name] = np.asarray(value, dtype=native, order="C")
        return {"array": name}
    if value.dtype == object and _are_texts(value):
        return {"texts": value.tolist()}
    raise _unstorable(value, name)


def _unstorable(value: Any, name: str) -> TypeError:
    parameter = name.split("/")[0]
    kind = repr(value)
    if isinstance(value, np.ndarray):
        kind = f"an array of {value.dtype}"
    elif "\n" in kind:  # a frame, say
        kind = f"an object of {type(value).__name__}"
    return TypeError(
        f"The {parameter!r} parameter is {kind}, which cannot be stored without "
        f"pickle. Replace it before saving: set_params({parameter}=...) takes None, "
        "numbers, text, and lists or arrays of them."
    )


def decode(value: Any, tensors: Arrays, code: Code) -> Any:
    """Return the value that `encode` was given.

    Its arrays are taken out of ``tensors``, and its functions out of ``code``.

    Raises
    ------
    ValueError
        If the value is none that `encode` writes, a tensor is missing, or there is code
        in it that was not given.
    """
    if isinstance(value, list):
        return [decode(item, tensors, code) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "dict":
        return {n: decode(item, tensors, code) for n, item in content.items()}
    if tag == "tuple":
        return tuple(decode(content, tensors, code))
    if tag == "columns":
        return _table(decode(content, tensors, code))
    if tag == "array":
        require(content in tensors, f"the tensor {content!r} is missing")
        return tensors.pop(content)
    if tag == "texts":
        return np.array(content, dtype=object)
    if tag == "scalar" and content[0] in _DTYPES:
        return np.dtype(content[0]).type(content[1])
    if tag == "change" and content[0] in MEMBERS:
        return MEMBERS[content[0]](**decode(content[1], tensors, code))
    require(tag in {"factory", "function"}, f"{tag!r} is no kind of value")
    return _code(tag, content, code)


def _code(tag: str, name: str, code: Code) -> Callable:
    """Return what was given for a factory or a function of that name."""
    if tag == "function":
        if not code.functions:
            raise ValueError(
                f"its consistency is kept by the function {name!r}, which a file "
                "cannot hold. Give the function, or a list of all of them in their "
                "order: load(path, consistency=...)."
            )
        return code.functions.pop(0)
    if code.factory is None:
        raise ValueError(
            f"its experts are made by the factory {name!r}, which a file cannot "
            "hold. Give the factory: load(path, architecture=...)."
        )
    return code.factory


def _table(columns: Arrays) -> NDArray[np.void]:
    """Return a structured array of columns."""
    lengths = {len(column) for column in columns.values()}
    require(len(lengths) == 1, "columns differ in length")
    dtype = [(name, column.dtype, column.shape[1:]) for name, column in columns.items()]
    table = np.empty(lengths.pop(), dtype=dtype)
    for name, column in columns.items():
        table[name] = column
    return table


# -- what the state of a fitted estimator must be ---------------------------------


def require(good: Any, what: str) -> None:
    """Raise ValueError, saying ``what`` is wrong with a file, unless it is good."""
    if not good:
        raise ValueError(f"{what}. {ANEW}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and bool(value >= 0)


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_count(side) for side in value)


def _is_array(value: Any, kinds: str) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in kinds


def _is_vector(value: Any, kinds: str) -> bool:
    return _is_array(value, kinds) and value.ndim == 1


def _are_texts(values: NDArray) -> bool:
    return all(isinstance(value, str) for value in values.flat)


def _has(value: Any, names: Any) -> bool:
    return isinstance(value, dict) and value.keys() == set(names)


# The attributes that prediction needs, and what each must be in a file.
_NEEDED: dict[str, Callable[[Any], bool]] = {
    "n_features_in_": _is_count,
    "input_shape_": _is_shape,
    "_fitted_loss": lambda v: v in list(LOSSES),
    "_network_spec": lambda v: _has(v, (f.name for f in fields(NetworkSpec))),
    "_moments": lambda v: _has(v, (f.name for f in fields(Moments))),
    "_module_arrays": lambda v: isinstance(v, dict),
    "expert_labels_": lambda v: _is_vector(v, "i"),
    "expert_children_": lambda v: _is_array(v, "i"),
    "expert_distances_": lambda v: _is_vector(v, "f"),
}
# All that a file may set.
FITTED = {
    **_NEEDED,
    "feature_names_in_": lambda v: _is_vector(v, "O") and _are_texts(v),
    "labels_": lambda v: _is_array(v, "iu"),
    "history_": lambda v: _is_vector(v, "V"),
    "n_iter_": _is_count,
    "cluster_sizes_": lambda v: _is_vector(v, "f"),
    "expert_sizes_": lambda v: _is_vector(v, "f"),
    "objective_": lambda v: isinstance(v, Real),
    "init_": lambda v: isinstance(v, str),
    "_stream": lambda v: _has(v, StreamState.__annotations__),
    "_sklearn_output_config": lambda v: (
        _has(v, ["transform"]) and isinstance(v["transform"], str | None)
    ),
}


def check_fitted(fitted: dict[str, Any]) -> None:
    """Raise unless fitted attributes belong to one estimator that can predict.

    A checksum protects against accidents only: whoever alters a file can renew it.
    """
    missing = [name for name in _NEEDED if name not in fitted]
    require(not missing, f"it lacks {', '.join(missing)}")
    for name, value in fitted.items():
        require(FITTED[name](value), f"{name} is not as it should be")
    spec = NetworkSpec(**fitted["_network_spec"])
    _check_features(fitted, spec)
    _check_moments(fitted, _n_read(fitted, spec))
    _check_clusters(fitted, spec.n_experts)
    _check_tree(fitted, spec.n_experts)
    network = _check_network(spec, fitted["_module_arrays"])
    if "_stream" in fitted:
        n_clusters = int(fitted["expert_labels_"].max()) + 1
        weights = list(network.parameters())
        _check_stream(fitted["_stream"], weights, n_clusters, spec.n_experts)


def _check_features(fitted: dict[str, Any], spec: NetworkSpec) -> None:
    """Raise unless names, shape and network are of as many features as rows have."""
    n_features = fitted["n_features_in_"]
    names = fitted.get("feature_names_in_")
    require(names is None or len(names) == n_features, "there are other feature names")
    require(
        math.prod(fitted["input_shape_"]) == n_features,
        f"input_shape_ has not {n_features} features",
    )
    axes = fitted["_moments"]["axes"]
    coordinates = _n_coordinates(axes, _n_read(fitted, spec))
    require(
        spec.n_features == coordinates, f"input_shape has not {coordinates} features"
    )


def _n_read(fitted: dict[str, Any], spec: NetworkSpec) -> int:
    """Return how many features are read, before they are whitened, if they are.

    All, but of large images those that are left of them.
    """
    shape, read = fitted["input_shape_"], spec.input_shape
    if fitted["_moments"]["axes"] is not None:
        require(len(shape) == 1, "input_shape_ is of no vectors, which are whitened")
        return fitted["n_features_in_"]
    whole = channels_first(shape)
    is_less = (
        1 < len(whole) == len(read)
        and whole[:-2] == read[:-2]
        and all(few <= many for few, many in zip(read, whole, strict=True))
    )
    require(shape == read or is_less, f"input_shape_ is not read as {read}")
    return spec.n_features


def _check_moments(fitted: dict[str, Any], n_read: int) -> None:
    """Raise unless moments are those of as many features, and of some rows."""
    numbers = dict(fitted["_moments"])
    del numbers["axes"]  # which tell how many features the network has
    means = numbers.pop("mean"), numbers.pop("mean_direction")
    whitening, shape = numbers.pop("whitening"), numbers.pop("shape")
    pixels = math.prod(shape) if _is_shape(shape) else 0
    require(
        all(_is_vector(mean, "f") and len(mean) == n_read for mean in means)
        and all(isinstance(number, Real) for number in numbers.values())
        and isinstance(whitening, Real | None)
        and (shape is None or pixels == fitted["n_features_in_"])
        and numbers["n_rows"] > 0,
        "_moments are not those of the features",
    )


def _check_clusters(fitted: dict[str, Any], n_experts: int) -> None:
    """Raise unless each expert has a cluster and each cluster an expert, with sizes."""
    labels = fitted["expert_labels_"]
    clusters = np.unique(labels)
    require(
        len(labels) == n_experts and (clusters == np.arange(len(clusters))).all(),
        "expert_labels_ are not clusters of its experts",
    )
    shares, sizes = fitted.get("expert_sizes_"), fitted.get("cluster_sizes_")
    require(shares is None or len(shares) == n_experts, "expert_sizes_ are not K")
    require(
        sizes is None or len(sizes) == len(clusters), "cluster_sizes_ are not K sizes"
    )


def _check_tree(fitted: dict[str, Any], n_experts: int) -> None:
    """Raise unless a tree merges the experts, where they are more than clusters."""
    children, distances = fitted["expert_children_"], fitted["expert_distances_"]
    merged = len(np.unique(fitted["expert_labels_"])) < n_experts
    n_merges = n_experts - 1 if merged else 0
    require(
        children.shape == (n_merges, 2) and len(distances) == n_merges,
        "expert_children_ are no tree of its experts",
    )


def _n_coordinates(axes: Any, n_features: int) -> int:
    """Return how many features the network reads, whitened by axes or as they are."""
    if axes is None:
        return n_features
    good = _is_array(axes, "f") and axes.ndim == 2
    require(good and len(axes) == n_features, "axes are not those of the features")
    return axes.shape[1]


def _check_network(spec: NetworkSpec, arrays: Arrays) -> torch.nn.Module:
    """Return the network of a specification; raise unless arrays are its weights."""
    found = {name: (a.shape, f"torch.{a.dtype.name}") for name, a in arrays.items()}
    n_numbers = sum(array.size for array in arrays.values())
    require(1 <= spec.n_experts <= n_numbers, "n_experts are more than its weights")
    # Sizes that were altered must not fill the memory: weights on "meta" have none.
    generator, own = torch.Generator(), callable(spec.architecture)
    with torch.random.fork_rng([]), nullcontext() if own else torch.device("meta"):
        network = build_network(spec, generator)
    wanted = {
        name: (tuple(tensor.shape), str(tensor.dtype))
        for name, tensor in network.state_dict().items()
    }
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"the weight {name!r} is {found.get(name, 'missing')}, where "
                f"{'the factory makes' if own else 'its network has'} "
                f"{wanted.get(name, 'none')}. "
                + ("Give the factory that it was fitted with." if own else ANEW)
            )
    return network


def _is_watch(value: Any, n_watched: int) -> bool:
    """Tell whether a value is the state of a `Watch`, of so many numbers."""
    if not _has(value, (f.name for f in fields(Watch))):
        return False
    tally = value["tally"]
    return (
        _is_count(value["n_steps"])
        and _is_count(value["n_looks"])
        and isinstance(value["told"], str)
        and (tally is None or (_is_vector(tally, "f") and len(tally) == n_watched))
    )


def _check_stream(
    stream: dict[str, Any],
    weights: list[torch.nn.Parameter],
    n_clusters: int,
    n_experts: int,
) -> None:
    """Raise unless a stream of `partial_fit` can go on with these weights."""
    memory, moments = stream["schedule"], stream["optimizer"]
    shared, n_watched = stream["shared"], 2 + n_clusters + n_experts
    good = _is_count(stream["seed"]) and _is_count(stream["n_passes"])
    good &= all(isinstance(stream[name], float) for name in ("progress", "evenness"))
    good &= _is_watch(stream["watch"], n_watched)
    good &= _is_array(shared, "f") and shared.shape == (n_experts, n_experts)
    good &= memory is None or np.shape(memory) in _MEMORIES
    seen = {int(key.split(".")[0]) for key in moments}
    good &= seen <= set(range(len(weights)))
    good &= _has(moments, [f"{i}.{name}" for i in seen for name in _ADAM])
    require(good, "_stream is not one of partial_fit")
    for key, value in moments.items():
        i, name = key.split(".")
        shape = () if name == "step" else tuple(weights[int(i)].shape)
        require(value.shape == shape and value.dtype.kind == "f", f"{key} does not fit")
