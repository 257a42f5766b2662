"""The component provider: k3k_pulumi for programs in other languages."""
