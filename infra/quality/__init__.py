"""What makes a bar, tick or quote doubtful: one table of rules, applied to whole answers and to live data alike."""
