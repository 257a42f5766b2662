"""What the kubelet knows of the two clusters, and the work that follows from changes of it."""

from k3k_kubelet.cache.informer import Informer
from k3k_kubelet.cache.queue import WorkQueue
from k3k_kubelet.cache.store import NAMESPACE, Change, Entry, Store, by_namespace

__all__ = ["NAMESPACE", "Change", "Entry", "Informer", "Store", "WorkQueue", "by_namespace"]
