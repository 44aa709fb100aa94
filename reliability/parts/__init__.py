"""What the tests from outside share: a backend that misbehaves when asked to, the program, and a reader of answers."""
