"""The blocking face; its names are those of `dcmnet` itself."""
