"""The same work on many machines: Ray calls it, shard by shard.

``recipes``  what is sent of a network and of photos, and how they are opened on arrival
``worker``   one worker: keeps the network warm, makes one piece after the other
``crew``     workers on a Ray cluster: started, watched, replaced; every piece is made once
``connection``  where a cluster is found or started; the only file that imports Ray
``scans``, ``filling``  a scan and a prerendering, in pieces

A piece leaves its files in the store, under the names that they have everywhere, and that is all
that counts: a worker, a machine or the caller may die at any moment, and whoever comes next finds
what is there. Importing this imports neither Ray nor torch.
"""

from neuron_widget.cluster.connection import Where
from neuron_widget.cluster.crew import ClusterProgress
from neuron_widget.cluster.filling import fill_steps
from neuron_widget.cluster.scans import scan, scan_steps

__all__ = ["ClusterProgress", "Where", "fill_steps", "scan", "scan_steps"]
