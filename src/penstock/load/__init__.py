"""Text to noun: a workflow file becomes a Workflow, or every problem at once."""
