"""Orders from their arrival to their end, and what is told of them."""
