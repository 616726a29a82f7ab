"""Pages without a kernel: one self-contained HTML file that shows a layer as the widget does.

``contents``  what there is to show, from results, a store, or a session
``plan``      how large pictures may be, and how large the file will be
``pack``      the contents as JSON, pictures as base64
``html``      the file: the widget's own bundle, the JSON, a strict content security policy
``export``    the work, step by step
``notebook_state``  the same in a notebook file, part by part, of what a session has
"""

from neuron_widget.page.contents import Contents
from neuron_widget.page.export import export_html, write_page
from neuron_widget.page.plan import DEFAULT_LIMIT, Plan, plan_page

__all__ = ["DEFAULT_LIMIT", "Contents", "Plan", "export_html", "plan_page", "write_page"]
