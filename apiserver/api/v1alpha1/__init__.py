"""v1alpha1: the small objects for people who meet the system for the first time, without the rest of Kubernetes.

Names and meanings are Kubernetes', with three shortcuts: a container's `resources` are its requests, a claim says
`storage`, and what the server finds out for a Service is in its status. What is stored is always v1; `conversion`
is the one place that knows both.
"""
