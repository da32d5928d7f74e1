"""The version of dcmnet, alone so that `dcmnet --version` loads nothing else."""

__version__ = "0.1.0"
