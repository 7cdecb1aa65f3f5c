"""Sources of what every program of the user is linked with: start-up, and the headers' static functions."""
