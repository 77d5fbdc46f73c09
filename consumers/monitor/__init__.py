"""The monitor: looks at everything that runs, and tells people what they should know."""
