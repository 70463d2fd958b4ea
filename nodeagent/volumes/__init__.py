"""What pods mount: made before their containers, kept up to date while they run, gone when nothing of them runs.

One file for each kind of volume; pod_volumes.py puts them together for the pod workers, keeping.py is what goes on
beside them. All of a pod lies in DIR/agent/pods/<uid>. What must hold:
- Every step may be the last before the power goes: each is found done, or is done again. What an agent that ended has
  mounted is recognised.
- Nothing here follows a link out of what it works on, also while a container changes it meanwhile.
- Nothing is deleted through a mount.
- Secrets and tokens lie in memory (tmpfs) alone, and in no message.
- Work on files is done in threads, and is over before anybody else may touch the same pod.
"""
