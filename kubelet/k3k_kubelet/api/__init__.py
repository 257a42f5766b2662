"""A small client for Kubernetes API servers: dicts in, dicts out, errors with the server's own words."""

from k3k_kubelet.api.client import ApiClient, PatchType
from k3k_kubelet.api.endpoint import Endpoint, HostEndpoint, VirtualEndpoint
from k3k_kubelet.api.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)
from k3k_kubelet.api.resources import (
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    Resource,
)

__all__ = [
    "CONFIG_MAPS",
    "EVENTS",
    "LEASES",
    "NODES",
    "PODS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "SUBJECT_ACCESS_REVIEWS",
    "TOKEN_REVIEWS",
    "AlreadyExistsError",
    "ApiClient",
    "ApiError",
    "ConflictError",
    "Endpoint",
    "ForbiddenError",
    "GoneError",
    "HostEndpoint",
    "InvalidError",
    "NotFoundError",
    "PatchType",
    "Resource",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnreachableError",
    "VirtualEndpoint",
]
