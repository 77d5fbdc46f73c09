"""Live data: from the gateway to its topics, each bar once and in order, whatever happens in between."""
