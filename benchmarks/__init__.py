"""The figures of the README, and what measures them."""
