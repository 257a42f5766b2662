"""What the Pulumi engine starts: serves the components until it ends."""

from k3k_pulumi.plugin import serve

if __name__ == "__main__":
    serve()
