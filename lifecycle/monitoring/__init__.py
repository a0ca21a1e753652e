"""Watching what is served: the audit holds every logged feature value against history."""
