"""Prints the JSON Schema of the policy document."""

import json
import sys

from k3k_kubelet.policy import schema

if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
