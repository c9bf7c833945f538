"""How models are constructed: names of arguments, and `keras.models.clone_model`."""

import functools
import inspect

import keras
from keras.src.backend.common import global_state

from keras_transformer.arguments import check_names

_CLONING = "keras.src.models.cloning"


def constructor(init):
    """A model's `__init__` that refuses misspelled arguments.

    Given a clone's inputs and outputs instead, as `clone_model` gives them, it does
    nothing: `Constructed.__new__` has returned the clone itself then.
    """
    parameters = inspect.signature(init).parameters.values()
    passes_on = any(each.kind is each.VAR_KEYWORD for each in parameters)
    names = [each.name for each in parameters][1:]

    @functools.wraps(init)
    def checked(self, *args, **kwargs):
        if _cloned(args) is self:
            return
        if not passes_on:
            check_names(f"{type(self).__name__}()", kwargs, names)
        init(self, *args, **kwargs)

    return checked


def own_arguments(values):
    """A model's arguments by name, of its constructor's `locals()` at the start.

    Those that all Keras models have, `dtype`, `name` and `trainable`, are left out.
    """
    others = {"self", "__class__", "dtype", "name", "trainable"}
    return {name: value for name, value in values.items() if name not in others}


def _itself(operation):
    return operation


class Constructed(keras.Model):
    """A functional model that its own constructor's arguments describe.

    `keras.models.clone_model` of Keras 3.15 copies a functional model layer by layer:
    the copy loses its class, and layers no longer share what they shared. It means to
    make models that have a `get_config` of their own from it, but always finds a
    `clone_function`, its own. So it is given the model's copy where it asks for its
    graph.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = constructor(cls.__init__)

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Saves the model as a `.keras` file; see `keras.Model.save`.

        Raises:
            ValueError: For a file in HDF5, which Keras 3 can't load again.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise self._hdf5_error(f"; received filepath={str(filepath)!r}")
        return super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def refuse_hdf5(self):
        """Raises a ValueError while `keras.saving.save_model` writes HDF5.

        It asks for a model's configuration, and for nothing else, before it writes.
        """
        if global_state.get_global_attribute("use_legacy_config"):
            raise self._hdf5_error()

    def _hdf5_error(self, received=""):
        return ValueError(
            "The file's name must end in .keras: Keras can't load a "
            f"{type(self).__name__} from HDF5{received}. For weights alone use "
            "save_weights."
        )

    def __new__(cls, *args, **kwargs):
        return _cloned(args) or super().__new__(cls, *args, **kwargs)

    def _run_through_graph(self, inputs, operation_fn=_itself, call_fn=None):
        if getattr(operation_fn, "__module__", None) != _CLONING:
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        clone_function = _nonlocal(_nonlocal(operation_fn))
        are_inputs = all(
            isinstance(each._keras_history.operation, keras.layers.InputLayer)
            for each in keras.tree.flatten(inputs)
        )
        if clone_function.__module__ != _CLONING or call_fn or not are_inputs:
            name = type(self).__name__
            raise ValueError(
                f"clone_model copies a {name} as a whole, without input_tensors, "
                "clone_function or call_function. To change its arguments: "
                f"{name}.from_config({{**model.get_config(), ...}})."
            )
        return type(self).from_config(self.get_config())(inputs)


def _nonlocal(function):
    """The `clone_function` that a function of Keras's cloning refers to."""
    return inspect.getclosurevars(function).nonlocals["clone_function"]


def _cloned(arguments):
    """The clone whose outputs `clone_model` gives a constructor, or None."""
    outputs = arguments[1] if len(arguments) == 2 else None
    if isinstance(outputs, keras.KerasTensor):
        return outputs._keras_history.operation
    return None
