"""Modules of one's own that register strategies, metrics or scenes, asked for as ``MODULE:NAME``."""

import os
import sys
from importlib import import_module
from types import ModuleType

from outofsight.errors import InputError


def own_name(name: str, asked: str) -> str:
    """Import the module of ``MODULE:NAME`` and return NAME. A name without a module is returned as it is.

    ``asked``: the option that named it, for the message.

    Raises:
        InputError: there is no such module.
    """
    module, _, own = name.rpartition(":")
    if module:
        import_plugin(module, f"{asked} {name}")
    return own


def import_plugin(module: str, asked: str) -> ModuleType:
    """Import a module that is installed, on ``PYTHONPATH``, or in the current folder.

    Raises:
        InputError: there is no such module.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # ``python -m`` does so; the installed command does not
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"{asked}: {module} cannot be imported from here or PYTHONPATH ({error})") from error
