"""What every part of Ostatok shares: the payment, the journal, the settings, the errors."""

from importlib.metadata import version

__version__ = version("ostatok")
