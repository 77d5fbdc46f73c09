"""Search for parameters, and what keeps a search honest: folds, the ledger of trials, and the gate before trading."""
