"""What commands share: exit codes, one line for what went wrong, stages that go on where they
were stopped. No verb of its own stands here.
"""
