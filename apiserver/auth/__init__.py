"""Who is asking and what may they do: certificates now (`pki`), tokens and RBAC with the API server."""
