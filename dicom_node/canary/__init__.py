"""The canary: a phantom study that takes the whole way from reception to delivery."""
