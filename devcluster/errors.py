"""What devcluster tells its user when it cannot go on."""


class DevclusterError(Exception):
    """One message for the user: what failed, what was found, what to do. The CLI prints no traceback."""
