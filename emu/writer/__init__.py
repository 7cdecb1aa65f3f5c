"""From a plan to bytes: structures, layout, sinks, named fault points."""
