"""The frozen state of a target: model, capture, synthetic targets, and the truth format."""
