"""The door for Python and for the command line: everything that Penstock can do, as functions.

    loading   a file becomes a Workflow, or every problem at once
    running   run, resume
    planning  what a run would do, and why
    reading   runs, status, logs

The command line imports the module that it needs, so that `penstock --version` pays for none of them.
"""
