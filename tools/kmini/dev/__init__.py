"""A control plane inside this process, with temporary data: what `kmini dev` and the pytest plug-in run."""
