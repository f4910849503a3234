"""
A stand-in for Masivo's API that keeps its contract on its own: nothing of the pipeline is imported
here.

``contract`` what a body must look like (straight from ``openapi/``) · ``intake`` what is refused
and what is taken · ``store`` what it holds · ``backlog`` the queue behind the 201 · ``readback``
the API's own GETs · ``limiter``, ``tokens`` · ``faults`` and ``misbehaviour`` what goes wrong on
purpose · ``journal`` what really happened · ``view`` a look inside · ``listener``, ``conversation``
and ``server`` the HTTP of it.
"""
