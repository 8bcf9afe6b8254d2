"""Networks and their parts, used by one family or several."""
