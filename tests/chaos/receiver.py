"""An http process that breaks a promise on purpose: see sabotages.py."""

import os

from chaos import sabotages
from ostatok.settings import load
from ostatok_http.process import run

if __name__ == "__main__":
    sabotages.OF_THE_RECEIVER[os.environ["CHAOS_SABOTAGE"]]()
    run(load())
