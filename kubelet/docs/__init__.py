"""Pages of docs/ that are made from what the kubelet's code says: `python -m kubelet.docs` writes them."""
