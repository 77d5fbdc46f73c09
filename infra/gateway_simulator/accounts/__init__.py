"""Money, positions, margin, commissions, and what is told of them."""
