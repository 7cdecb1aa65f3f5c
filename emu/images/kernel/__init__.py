"""Holds the synthetic kernel, HAL and drivers: C sources, and the built PE and PDB files."""
