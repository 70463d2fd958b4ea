"""The root of the client's command line: which verbs there are, and in which file each is.

A verb's file is imported when the verb is asked for; the help of the root knows only the lines below.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from .command import Verb, Verbs, ending

#: Verb -> module, the command in it, and what it does.
VERBS: dict[str, tuple[str, str, str]] = {
    "create": ("kminictl.verbs.create", "create", "Create objects from files, or by generators."),
    "expose": ("kminictl.verbs.expose", "expose", "Make a Service for a deployment, replica set, pod or service."),
    "run": ("kminictl.verbs.run", "run", "Run an image in a pod."),
    "set": ("kminictl.verbs.set", "set_", "Set the image of a workload's containers, ..."),
    "explain": ("kminictl.verbs.explain", "explain", "Say what the fields of a kind mean."),
    "get": ("kminictl.verbs.get", "get", "Show objects."),
    "edit": ("kminictl.verbs.edit", "edit", "Edit objects in an editor."),
    "delete": ("kminictl.verbs.delete", "delete", "Delete objects by name, selector or file."),
    "rollout": ("kminictl.verbs.rollout", "rollout", "Watch, undo, restart, pause a rollout."),
    "scale": ("kminictl.verbs.scale", "scale", "Set how many replicas there are."),
    "cordon": ("kminictl.verbs.nodes", "cordon", "Let a node take no new pods."),
    "uncordon": ("kminictl.verbs.nodes", "uncordon", "Let a node take pods again."),
    "drain": ("kminictl.verbs.drain", "drain", "Cordon a node and evict its pods."),
    "taint": ("kminictl.verbs.nodes", "taint", "Set and take away taints of nodes."),
    "top": ("kminictl.verbs.top", "top", "What pods, nodes and the Raft group use."),
    "describe": ("kminictl.verbs.describe", "describe", "Show objects in full, with their events."),
    "logs": ("kminictl.verbs.logs", "logs", "Print the logs of a container."),
    "attach": ("kminictl.verbs.exec", "attach", "Attach to a running container."),
    "exec": ("kminictl.verbs.exec", "exec_", "Run a command in a container."),
    "port-forward": ("kminictl.verbs.port_forward", "port_forward", "Forward local ports to a pod."),
    "cp": ("kminictl.verbs.cp", "cp", "Copy files to and from containers."),
    "certificate": ("kminictl.verbs.certificate", "certificate", "Decide about requests for certificates."),
    "auth": ("kminictl.verbs.auth", "auth", "Ask who you are and what you may do."),
    "diff": ("kminictl.verbs.diff", "diff", "Show what apply would change."),
    "apply": ("kminictl.verbs.apply", "apply", "Make objects what files say."),
    "patch": ("kminictl.verbs.patch", "patch", "Change fields of an object."),
    "replace": ("kminictl.verbs.replace", "replace", "Replace objects by what files say."),
    "wait": ("kminictl.verbs.wait", "wait", "Wait until a condition holds."),
    "label": ("kminictl.verbs.labels", "label", "Set and take away labels."),
    "annotate": ("kminictl.verbs.labels", "annotate", "Set and take away annotations."),
    "events": ("kminictl.verbs.events", "events", "List events."),
    "api-resources": ("kminictl.verbs.discovery", "api_resources", "List what kinds the server has."),
    "api-versions": ("kminictl.verbs.discovery", "api_versions", "List the versions the server has."),
    "cluster-info": ("kminictl.verbs.discovery", "cluster_info", "Say where the control plane is."),
    "config": ("kminictl.verbs.config", "config", "Look at and change kubeconfig files."),
    "version": ("kminictl.verbs.version", "version", "Print the versions of client and server."),
    "completion": ("kminictl.verbs.completion", "completion", "Print the code for a shell's completion."),
    "why": ("kminictl.why", "why", "Say why a pod is on its node, or on none."),
    "doctor": ("kminictl.verbs.doctor", "doctor", "Look for what is wrong with a cluster, and say what to do."),
    "raft": ("kminictl.verbs.raft", "raft", "Look at and change the group of replicas."),
}


class _Root(Verbs):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = VERBS.get(cmd_name)
        if row is None:
            return None
        module, name, _ = row
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, _, says) in VERBS.items()])


@click.command("kminictl", cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Talk to a kmini cluster, or any other Kubernetes, the way kubectl does."""


def main() -> None:
    """What the program `kminictl` runs."""
    sys.exit(ending(lambda: root.main(prog_name="kminictl", standalone_mode=False)))


__all__ = ["VERBS", "Verb", "main", "root"]
