"""The command ``neuron-widget``.

``info``      info, layers
``jobs``      render, scan, prerender, analyze
``page``      export
``demo``      demo
``serve``     serve; ``serve_command``: its options
``store``     store info, verify, prune
``output``    what they share: progress, JSON, errors, exit codes, Ctrl-C
``options``   an option for each setting

Nothing heavy is imported before a command runs, so that ``--help`` is quick.
"""

from neuron_widget.cli.app import app

__all__ = ["app"]
