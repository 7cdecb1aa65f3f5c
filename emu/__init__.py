"""The emulated debug target: images, machine, process model, snapshots, and the dump writer."""
