"""The commands of operators, each file a subject; cli.py puts them together."""
