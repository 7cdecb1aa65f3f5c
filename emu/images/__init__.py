"""Holds the synthetic images: C sources, the built PE and PDB files, and their builder."""
