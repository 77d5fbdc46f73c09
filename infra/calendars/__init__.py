"""When exchanges trade: sessions, holidays and half days, from a committed table."""
