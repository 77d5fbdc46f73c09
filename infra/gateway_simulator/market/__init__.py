"""The one world of prices: days, prints, bars, and the tape that lets time pass."""
