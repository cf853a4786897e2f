"""The door for Python and for the command line: everything that Penstock can do, as functions.

    loading   a file becomes a Workflow, or every problem at once
    running   run, resume
    planning  what a run would do, and why; its bill is in bill/
    reading   runs, status, logs
    replay/   kept failures through today's workflow
    caching   the cache of answers
    examining doctor

The command line imports the module that it needs, so that `penstock --version` pays for none of them.
"""
