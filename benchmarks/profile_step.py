"""Where the time of a training step goes, by groups of TensorFlow's operations.

    pip install -e ".[parity]"
    python benchmarks/profile_step.py --size small

The step is that of train_step.py. One operation runs at a time, so that their times add
up; each has two threads. The profiler's own cost is in the figures.
"""

import argparse
import collections
import pathlib
import tempfile

import tensorflow as tf
import train_step
from tensorflow.tsl.profiler.protobuf import xplane_pb2
from turns import SIZES

GROUPS = {
    "products with weights": {"MatMul", "FusedMatMul", "NativeFusedMatMul"},
    "attention's products": {"BatchMatMulV2", "FusedBatchMatMulV2"},
    "softmax": {"Softmax"},
    "random numbers": {
        "StatelessRandomUniformV2",
        "StatelessRandomUniformIntV2",
        "StatelessRandomGetKeyCounter",
    },
    "moving data": {"Transpose", "Pack", "Unpack", "ConcatV2", "Slice", "Tile"},
    "optimizer": {"ResourceApplyAdam", "AssignAddVariableOp", "AssignSubVariableOp"},
    "reductions": {"Sum", "Mean", "Max", "BiasAddGrad"},
    "rows looked up": {"GatherV2", "GatherNd", "UnsortedSegmentSum"},
    "rows scattered": {"TensorScatterAdd", "ResourceScatterAdd"},
}
REST = "elementwise and others"
# Events that hold operations, or parts of them.
OUTER = {"Process", "ParallelFor", "Run"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--contender", choices=train_step.CONTENDERS, default="ours")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    train_step.INTER_OP_THREADS = 1
    job = {**train_step.JOB, "size": arguments.size}
    step = train_step.CONTENDERS[arguments.contender](job)
    for _ in range(3):
        step()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(arguments.rounds):
            step()
        tf.profiler.experimental.stop()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    seconds, counts = grouped(space)
    print(f"\n| {arguments.size}, {arguments.contender} | operations | ms |")
    print("| --- | --- | --- |")
    for name, total in seconds.most_common():
        count = counts[name] / arguments.rounds
        print(f"| {name} | {count:.0f} | {1e3 * total / arguments.rounds:.0f} |")
    total = 1e3 * sum(seconds.values()) / arguments.rounds
    print(f"| all | {sum(counts.values()) / arguments.rounds:.0f} | {total:.0f} |")


def grouped(space):
    """Seconds and numbers of operations of each group."""
    group_of = {op: name for name, ops in GROUPS.items() for op in ops}
    seconds, counts = collections.Counter(), collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            # The executor's threads; Python's wait for them.
            if not line.name.startswith("tf_Compute"):
                continue
            for event in line.events:
                # "node name:operation", operations of oneDNN with a prefix.
                name = plane.event_metadata[event.metadata_id].name
                node, _, op = name.rpartition(":")
                if not node or op in OUTER:
                    continue
                group = group_of.get(op.removeprefix("_Mkl"), REST)
                seconds[group] += event.duration_ps / 1e12
                counts[group] += 1
    return seconds, counts


if __name__ == "__main__":
    main()
