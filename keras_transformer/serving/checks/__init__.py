"""What `doctor` looks at, a file a subject: each check yields findings."""

from keras_transformer.serving.checks.graph import (
    check_operations,
    check_processor,
    check_xla,
)
from keras_transformer.serving.checks.interface import check_signatures
from keras_transformer.serving.checks.stored import check_assets, check_variables
from keras_transformer.serving.checks.warmup_file import check_warmup

CHECKS = (
    check_variables,
    check_assets,
    check_operations,
    check_processor,
    check_xla,
    check_signatures,
    check_warmup,
)
