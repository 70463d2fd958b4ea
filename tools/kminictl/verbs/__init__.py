"""One file per verb family. Each is imported when its verb is asked for, and not before: start-up time is a feature."""
