"""The main job: from nothing to a sample workload that answers over its Service, on one machine, and back.

What runs is what `kmini server` and `kmini agent` are, in the background and with their data in one directory: nothing
depends on this command once it has ended. Every step is one that may be done already.

    machine.py    what must be there before anything is started
    course.py     up, in order
    sample.py     the workload; answers.py: whether it answers
    ending.py     down
    report.py     how it is
"""
