"""Releases from elsewhere: fetched, verified, checked, switched to, kept."""
