"""Low-rank adaptation: a small trained update beside a weight that stays as it is."""

import numpy as np
from keras import ops

from keras_transformer import kernels
from keras_transformer.kernels.dtypes import at_least_float32

_A, _B, _ALPHA = "lora_a", "lora_b", "lora_alpha"


class HasLora:
    """A layer whose matrix W may have an update: `W + alpha / rank * A B`.

    Keras's `enable_lora` makes A and B, and freezes W. Rows are multiplied by A and B
    one after the other: so training needs no gradient of W's size.

    Keras's own layers write `W + alpha / rank * A B` to files, from which training
    can't go on. These write W, A and B, and a layer that reads them has LoRA again.
    `merge_lora` makes one matrix of them.

    Subclasses name their attributes: `lora_names`, those of W, A and B.

    Reference: [LoRA](https://arxiv.org/abs/2106.09685).
    """

    lora_names = ("_kernel", "lora_kernel_a", "lora_kernel_b")

    @property
    def lora_base(self):
        """The variable W `(K, N)`, with LoRA or without."""
        return getattr(self, self.lora_names[0])

    @property
    def lora_weights(self):
        """The variables W `(K, N)`, A `(K, rank)` and B `(rank, N)`, with LoRA."""
        return tuple(getattr(self, name) for name in self.lora_names)

    @property
    def lora_scale(self):
        """The factor of the update, `alpha / rank`."""
        return self.lora_alpha / self.lora_rank

    def lora_linear(self, rows, training=None):
        """Rows `(R, K)` times the update: `(R, N)`."""
        _, a, b = self.lora_weights
        inner = kernels.linear(rows, a, training=training)
        return kernels.linear(inner, b, training=training) * self.lora_scale

    def lora_merged(self):
        """W with its update, `(K, N)`, in at least float32."""
        dtype = at_least_float32(self.lora_base.dtype)
        weight, a, b = (ops.cast(each, dtype) for each in self.lora_weights)
        return weight + self.lora_scale * ops.matmul(a, b)

    def merge_lora(self):
        """Adds the update to W, which is trained again; nothing without LoRA."""
        if not self.lora_enabled:
            return
        weight, _, b = self.lora_weights
        weight.assign(self.lora_merged())
        # A compiled function that still multiplies by B adds nothing then.
        b.assign(ops.zeros(b.shape))
        # Keras unlocks it where a layer is quantized.
        was_locked = self._tracker.locked
        self._tracker.unlock()
        for name in self.lora_names[1:]:
            delattr(self, name)
        if was_locked:
            self._tracker.lock()
        weight.trainable = True
        self.lora_enabled = False
        self.lora_rank = self.lora_alpha = None

    def save_own_variables(self, store):
        """Writes the weights; with LoRA W itself, A, B and alpha."""
        if not self._keeps_lora():
            super().save_own_variables(store)
            return
        for number, variable in enumerate(self._without_lora()):
            store[str(number)] = variable
        _, store[_A], store[_B] = self.lora_weights
        store[_ALPHA] = np.array([self.lora_alpha], "float32")

    def load_own_variables(self, store):
        """Reads the weights; where the file has an update, the layer gets it."""
        has_update = _A in store.keys()
        if has_update and not self.lora_enabled:
            rank = store[_A].shape[1]
            alpha = float(np.asarray(store[_ALPHA])[0])
            self.enable_lora(rank, lora_alpha=alpha)
        if not self._keeps_lora():
            super().load_own_variables(store)
            return
        for number, variable in enumerate(self._without_lora()):
            variable.assign(store[str(number)])
        _, a, b = self.lora_weights
        for name, variable in ((_A, a), (_B, b)):
            variable.assign(store[name] if has_update else ops.zeros(variable.shape))

    def _keeps_lora(self):
        # Keras's layers have a way of their own with LoRA beside int8.
        return self.lora_enabled and self.quantization_mode is None

    def _without_lora(self):
        """The variables that a layer without LoRA has, in the order of its files."""
        update = [id(variable) for variable in self.lora_weights[1:]]
        own = [*self._trainable_variables, *self._non_trainable_variables]
        return [variable for variable in own if id(variable) not in update]


def lora_layers(model):
    """The layers of a model that have LoRA."""
    return [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "lora_enabled", False)
    ]


def base_weights(model):
    """The weights that a model has without LoRA, in the order of `model.weights`."""
    updates = {id(v) for layer in lora_layers(model) for v in layer.lora_weights[1:]}
    return [weight for weight in model.weights if id(weight) not in updates]


def without_lora(model):
    """The model, or where it has LoRA a copy of it whose updates are merged.

    Args:
        model: A model of `kt.models`.
    """
    layers = lora_layers(model)
    if not layers:
        return model
    copy = type(model).from_config(model.get_config())
    merged = {id(layer.lora_base): layer.lora_merged() for layer in layers}
    for old, new in zip(base_weights(model), copy.weights, strict=True):
        new.assign(merged.get(id(old), old))
    return copy
