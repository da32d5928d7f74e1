"""Benchmarks of dcmnet beside DCMTK and pynetdicom; see README.md."""
