"""The synthetic kernel, HAL and drivers: C sources, and what they build to."""
