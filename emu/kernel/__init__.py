"""Firmware and boot loader of the synthetic kernel, and the machine of several processors that it runs on."""
