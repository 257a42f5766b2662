"""The quickstart program of the root Pulumi.yaml."""
