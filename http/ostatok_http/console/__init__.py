"""The console: what operators see of the system in a browser, at ``/console/``."""
