"""Counting updates, where an optimizer gathers the gradients of several batches."""


def accumulation_steps(optimizer):
    """Number of batches that make one update."""
    # Loss scaling, for float16, wraps the optimizer that accumulates.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer.gradient_accumulation_steps or 1


def updates_done(optimizer):
    """Number of whole updates so far."""
    # A variable of several replicas is no number for Python.
    counted = int(optimizer.iterations + 0)
    # The wrapper itself counts batches.
    wraps = hasattr(optimizer, "inner_optimizer")
    return counted // accumulation_steps(optimizer) if wraps else counted
