"""Files that are whole or not there, and of which nothing is believed that was not checked.

``folders``  folders held open: no links, atomic writes, regular files only
``records``  our two kinds of files: a manifest that is covered by a hash, and what it describes
"""

from neuron_widget.durable.folders import (
    Damaged,
    OpenFolder,
    abandoned,
    open_regular,
    this_host,
    writable_file,
    writable_folder,
    write_atomically,
    write_inside,
)
from neuron_widget.durable.records import (
    DESCRIPTION,
    FORMAT,
    MALFORMED,
    MARK,
    Arrays,
    Record,
    number,
    open_record,
    pack_arrays,
    parse_facts,
    read_arrays,
    read_facts,
    seal,
    sha256_of,
    size_text,
    whole,
)

__all__ = [
    "DESCRIPTION",
    "FORMAT",
    "MALFORMED",
    "MARK",
    "Arrays",
    "Damaged",
    "OpenFolder",
    "Record",
    "abandoned",
    "number",
    "open_record",
    "open_regular",
    "pack_arrays",
    "parse_facts",
    "read_arrays",
    "read_facts",
    "seal",
    "sha256_of",
    "size_text",
    "this_host",
    "whole",
    "writable_file",
    "writable_folder",
    "write_atomically",
    "write_inside",
]
