"""An IB gateway that speaks the real wire protocol over a market and a book of its own, and misbehaves on request."""
