"""The frozen state of a target: the model that a dump is written from."""
