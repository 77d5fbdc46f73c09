"""The one sender of orders: acts on unspent approvals, keeps what the broker says, and compares its books with ours."""
