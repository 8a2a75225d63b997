"""Functions that answer HTTP themselves: the event they get, the result they give, and the call between."""
