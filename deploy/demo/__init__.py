"""The demonstration: the whole way of a study on this machine, and a look at what came back."""
