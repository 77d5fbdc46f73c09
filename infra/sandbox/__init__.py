"""Where code of strangers runs: a process without network, files, clock or environment, and how one talks to it."""
