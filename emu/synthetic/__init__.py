"""Snapshots made by hand, with no CPU behind them."""
