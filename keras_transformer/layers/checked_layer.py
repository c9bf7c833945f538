"""What all layers have in common: arguments are checked before Keras reads them."""

import functools
import inspect
import types

import keras

from keras_transformer import arguments

# What Keras's own `Layer` takes.
_ARGUMENTS_OF_ALL = frozenset(
    "activity_regularizer autocast dtype input_dim input_shape name trainable".split()
)


class StaysFloat:
    """A layer whose own weights and operations `quantize` leaves as they are."""

    def quantize(self, mode=None, type_check=True, config=None):
        """Does nothing: layers inside of this one are quantized by themselves."""

    def quantized_call(self, *args, **kwargs):
        """What `call` computes: there is nothing here to quantize."""
        return self.call(*args, **kwargs)


class CheckedLayer(StaysFloat, keras.layers.Layer):
    """A layer that checks its arguments: errors name the argument and what it got.

    Subclasses implement `check_call`. A user's subclass that has a constructor or a
    `call` of its own checks their arguments itself.
    """

    def __new__(cls, *args, **kwargs):
        if _is_of_package(cls.__init__):
            arguments.check_names(cls.__name__, kwargs, _constructor_names(cls))
        return super().__new__(cls, *args, **kwargs)

    def __call__(self, *args, **kwargs):
        if _is_of_package(type(self).call):
            names = arguments.names_of(type(self).call)
            # Those of outer layers, such as `training`, Keras leaves out itself.
            known = names | self._call_context_args
            arguments.check_names(f"A call of {type(self).__name__}", kwargs, known)
            own = {name: value for name, value in kwargs.items() if name in names}
            self.check_call(_given(type(self).call, self, *args, **own))
        return super().__call__(*args, **kwargs)

    def check_call(self, given):
        """Raises a ValueError or TypeError for arguments that `call` can't take.

        Args:
            given: The arguments of `call` as attributes, defaults among them.
        """


def _given(function, *args, **kwargs):
    """The arguments of a call of `function`, defaults among them, as attributes."""
    bound = _signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return types.SimpleNamespace(**bound.arguments)


_signature = functools.cache(inspect.signature)


def _is_of_package(function):
    return function.__module__.startswith(f"{__package__}.")


@functools.cache
def _constructor_names(cls):
    """The arguments of a layer's constructor and those that it hands on."""
    bases = cls.__mro__[: cls.__mro__.index(CheckedLayer)]
    own = (arguments.names_of(base.__init__) for base in bases)
    return _ARGUMENTS_OF_ALL.union(*own)
